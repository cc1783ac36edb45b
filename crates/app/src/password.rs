//! `medlytt hash-password`: Argon2id, in the form that `password_hash` takes.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher as _;

/// Shortest password that is hashed.
const SHORTEST: usize = 8;
/// Longest; Argon2 reads all of it.
const LONGEST: usize = 1024;

/// Reads one line from standard input and prints its hash.
pub(crate) fn run() -> ExitCode {
    if std::io::stdin().is_terminal() {
        eprint!("Password (it is shown while you type): ");
        let _ = std::io::stderr().flush();
    }
    let mut line = String::new();
    let result = match std::io::stdin().lock().read_line(&mut line) {
        Ok(_) => hash(line.trim_end_matches(['\n', '\r'])),
        Err(error) => Err(format!("standard input: {error}")),
    };
    match result {
        Ok(hash) => {
            println!("{hash}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// With OWASP's parameters (the crate's defaults: 19 MiB, 2 passes, 1 lane) and a salt of its own.
pub(crate) fn hash(password: &str) -> Result<String, String> {
    if !(SHORTEST..=LONGEST).contains(&password.len()) {
        return Err(format!("a password has {SHORTEST} to {LONGEST} bytes"));
    }
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|error| format!("cannot hash: {error}"))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier as _;
    use argon2::password_hash::phc::PasswordHash;

    use super::*;

    #[test]
    fn a_hash_fits_its_password_alone_and_has_its_own_salt() {
        let (one, other) = (hash("correct horse").unwrap(), hash("correct horse").unwrap());
        assert!(one.starts_with("$argon2id$v=19$"), "{one}");
        assert_ne!(one, other);
        let parsed = PasswordHash::new(&one).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", &parsed).is_ok());
        assert!(Argon2::default().verify_password(b"wrong horse", &parsed).is_err());
    }

    #[test]
    fn no_short_and_no_endless_passwords() {
        assert!(hash("short").is_err());
        assert!(hash(&"x".repeat(LONGEST + 1)).is_err());
    }
}
