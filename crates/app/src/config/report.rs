//! What is wrong with a configuration: one line each, with its place.

use std::fmt;
use std::path::PathBuf;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The file as a whole.
    File,
    /// Line and column, from 1.
    At { line: usize, column: usize },
    /// An environment variable, by name.
    Variable(String),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    /// `sip.listen`; empty for the file as a whole.
    pub(crate) key: String,
    pub(crate) message: String,
}

/// Everything that is wrong, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) file: PathBuf,
    pub(crate) problems: Vec<Problem>,
}

impl Report {
    pub(crate) fn new(file: PathBuf, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self { file, problems }
    }

    pub(crate) fn of_file(file: PathBuf, message: &str) -> Self {
        Self::new(file, vec![Problem { place: Place::File, key: String::new(), message: message.to_owned() }])
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{}", problem.line(&self.file.display().to_string()))?;
        }
        Ok(())
    }
}

impl Problem {
    /// `FILE:LINE:COLUMN: key.path: message`, or the variable's name in the file's place.
    pub(crate) fn line(&self, file: &str) -> String {
        let place = match &self.place {
            Place::File => file.to_owned(),
            Place::At { line, column } => format!("{file}:{line}:{column}"),
            Place::Variable(name) => name.clone(),
        };
        if self.key.is_empty() {
            format!("{place}: {}", self.message)
        } else {
            format!("{place}: {}: {}", self.key, self.message)
        }
    }
}
