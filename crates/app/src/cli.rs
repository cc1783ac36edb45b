//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{self, Loaded};
use crate::limits::Capacity;

/// Exit status for a configuration that cannot be used, and for a wrong command line (clap's own).
const EXIT_CONFIG: u8 = 2;

/// Silent monitoring for contact centres: a SIP B2BUA that lets a listener hear an agent's calls.
#[derive(Debug, Parser)]
#[command(name = "medlytt", version, arg_required_else_help = true, after_help = "Example:\n  medlytt demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the engine.
    #[command(
        after_help = "Example:\n  medlytt serve --config /etc/medlytt/medlytt.toml\n\nSIGTERM ends when the calls are over, a second one at once; SIGHUP reads directory, users and limits again."
    )]
    Serve(ConfigArgs),
    /// Check a configuration: every mistake at once, with file, line and key; exit 2 if there is one.
    #[command(after_help = "Example:\n  medlytt check --config medlytt.toml")]
    Check(ConfigArgs),
    /// See and hear it work: engine, caller, agents and listener on this machine, no phone and no configuration.
    #[command(after_help = "Examples:\n  medlytt demo\n  medlytt demo --once --wav heard.wav")]
    Demo(DemoArgs),
    /// Look after the audit trail.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  medlytt audit verify --config /etc/medlytt/medlytt.toml"
    )]
    Audit(AuditCommand),
    /// Hash a password for `password_hash` (Argon2id); reads it from standard input.
    #[command(after_help = "Example:\n  medlytt hash-password < password.txt")]
    HashPassword,
    /// Print the control API's OpenAPI 3.1 document.
    #[command(after_help = "Example:\n  medlytt openapi > openapi.json")]
    Openapi,
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  medlytt completions bash > /etc/bash_completion.d/medlytt")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Find whether the audit trail is as it was written: number of entries and head, exit 1 at the first fault. Also
    /// beside a running engine.
    #[command(
        after_help = "Examples:\n  medlytt audit verify --config /etc/medlytt/medlytt.toml\n  medlytt audit verify --store sqlite:medlytt.db --head 5f2b…\n\nKeep the head where nobody who can write the store can: with --head it is found whether entries were cut off since."
    )]
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// The TOML file that names the store.
    #[arg(long, value_name = "FILE", required_unless_present = "store", conflicts_with = "store")]
    config: Option<PathBuf>,
    /// The store itself, such as `sqlite:medlytt.db`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// A head that was printed earlier.
    #[arg(long, value_name = "HASH")]
    head: Option<String>,
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The TOML file; `MEDLYTT_SIP__LISTEN=…` and the like override it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// What `medlytt demo` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Run the story once (under 30 s) and exit 0 only if everybody heard what they should.
    #[arg(long)]
    pub(crate) once: bool,
    /// Where the control API listens; another port is taken if this one is in use.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Where to write what the listener heard.
    #[arg(long, value_name = "PATH", default_value = "listener.wav")]
    pub(crate) wav: PathBuf,
}

/// Runs what the command line says.
pub(crate) fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => with_config(&args.config, |loaded| crate::serve::run(args.config.clone(), loaded)),
        Command::Check(args) => with_config(&args.config, |loaded| {
            warn(&args.config, &loaded);
            let capacity = Capacity::of(&loaded.config);
            if capacity.is_short() {
                let (file, advice) = (args.config.display(), capacity.advice());
                eprintln!("warning: {file}: max_calls cannot be reached here: {capacity}; {advice}");
            }
            println!("{}: good: {}", args.config.display(), counts(&loaded));
            ExitCode::SUCCESS
        }),
        Command::Demo(args) => crate::demo::run(args),
        Command::Audit(AuditCommand::Verify(VerifyArgs { config, store, head })) => {
            let verify = |url: &str| crate::audit::verify(url, head.as_deref());
            match (config, store) {
                (Some(config), _) => with_config(&config, |loaded| verify(&loaded.config.store_url)),
                (None, store) => verify(&store.unwrap_or_default()),
            }
        }
        Command::HashPassword => crate::password::run(),
        Command::Openapi => print(&api::Api::openapi()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "medlytt", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

fn with_config(path: &Path, go: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match config::load(path) {
        Ok(loaded) => go(loaded),
        Err(report) => {
            eprint!("{report}");
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

fn warn(path: &Path, loaded: &Loaded) {
    for warning in &loaded.warnings {
        eprintln!("warning: {}", warning.line(&path.display().to_string()));
    }
}

fn counts(loaded: &Loaded) -> String {
    let directory = &loaded.config.directory;
    format!("{} trunks, {} agents, {} users", directory.trunks.len(), directory.agents.len(), directory.users.len())
}

/// To standard output; a reader that has gone (`| head`) is no error.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.trim_end().as_bytes()).and_then(|()| std::io::stdout().write_all(b"\n")) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("medlytt "), "{}", command.get_name());
        }
    }

    #[test]
    fn a_trail_is_found_by_configuration_or_by_store() {
        let parse = |arguments: &[&str]| Cli::try_parse_from(["medlytt", "audit", "verify"].iter().chain(arguments));
        assert!(parse(&["--config", "a.toml"]).is_ok());
        assert!(parse(&["--store", "sqlite:a.db", "--head", "ab"]).is_ok());
        assert!(parse(&[]).is_err() && parse(&["--head", "ab"]).is_err());
        assert!(parse(&["--config", "a.toml", "--store", "sqlite:a.db"]).is_err());
    }

    #[test]
    fn the_demo_needs_no_arguments() {
        let Command::Demo(args) = Cli::parse_from(["medlytt", "demo"]).command else { panic!("not the demo") };
        assert!(!args.once);
        assert_eq!((args.listen.port(), args.wav), (8080, PathBuf::from("listener.wav")));
    }
}
