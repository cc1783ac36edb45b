//! `medlytt demo`.

use std::process::ExitCode;

use crate::cli::DemoArgs;

/// Runs the demo.
pub(crate) fn run(args: DemoArgs) -> ExitCode {
    eprintln!("the demo is not in this build ({:?})", args);
    ExitCode::FAILURE
}
