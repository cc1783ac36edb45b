//! The Python that tests run: what `tests/clients/requirements.txt` names, in an environment of its own below the target folder.

use std::path::PathBuf;
use std::process::Command;

use crate::{root, run, target};

/// Makes the environment, or leaves it where it has what is named, and gives its folder of programs.
pub(crate) fn programs() -> Result<PathBuf, String> {
    let (folder, wanted) = (target().join("python"), root().join("tests/clients/requirements.txt"));
    let programs = folder.join("bin");
    // written last, so that half an environment is made anew
    let installed = folder.join("requirements.txt");
    let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let text = read(&wanted)?;
    if read(&installed).is_ok_and(|have| have == text) {
        return Ok(programs);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(programs.join("python")).args(pip).arg(&wanted))?;
    std::fs::write(&installed, text).map_err(|error| format!("{}: {error}", installed.display()))?;
    Ok(programs)
}
