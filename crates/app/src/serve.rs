//! Soon.
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::Loaded;

pub(crate) fn run(_path: PathBuf, _loaded: Loaded) -> ExitCode {
    ExitCode::FAILURE
}
