//! `medlytt demo`: the engine on loopback, and a caller, two agents and a listener who really telephone with it.
//!
//! Nothing here is played from a file or behind the engine's back: SIP and RTP go over sockets, the order over HTTP.

mod cast;
mod client;
mod line;
mod recording;
mod screen;
mod story;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::DemoArgs;
use crate::config::{self, SystemResolver};
use crate::engine_task::Control;
use crate::shell::Shell;
use cast::{Cast, Sockets, Stage};
use client::Client;
use screen::Screen;
use story::Story;

/// How long the good-byes may take.
const GOODBYE: Duration = Duration::from_millis(400);
/// How long the engine may take to be ready.
const READY: Duration = Duration::from_secs(5);

/// Runs the demo.
pub(crate) fn run(args: DemoArgs) -> ExitCode {
    match show(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// True if everything that was checked is so.
fn show(args: &DemoArgs) -> Result<bool, String> {
    // The phones' addresses go into the engine's configuration, so they come first.
    let sockets = Sockets::bind().map_err(|error| format!("no socket for a phone: {error}"))?;
    let stage = Stage::new()?;
    let mut shell = start(args.listen, &sockets, &stage)?;
    if !shell.until_ready(READY) {
        return Err(format!("the engine was not ready within {} s", READY.as_secs()));
    }
    let sip = shell.bound.sip.first().map(|(_, addr)| *addr).ok_or("the engine has no SIP socket")?;
    let client = Client::new(shell.bound.http, stage.token.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let told = runtime.block_on(async {
        let cast = Cast::gather(sockets, sip).map_err(|error| format!("no phones: {error}"))?;
        tell(args, &cast, &client, &stage, sip).await
    });
    // An engine that has ended takes no orders.
    let _ = shell.control().blocking_send(Control::Stop);
    shell.close();
    told
}

/// Starts the engine; on another port for HTTP if somebody has the wanted one.
fn start(listen: SocketAddr, sockets: &Sockets, stage: &Stage) -> Result<Shell, String> {
    let taken = std::net::TcpListener::bind(listen).is_err();
    let listen = if taken { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) } else { listen };
    let text = stage.configuration(listen, sockets)?;
    let loaded =
        config::read("demo".into(), &text, std::iter::empty(), &SystemResolver).map_err(|report| report.to_string())?;
    Shell::start(&loaded.config).map_err(|error| error.to_string())
}

async fn tell(args: &DemoArgs, cast: &Cast, client: &Client, stage: &Stage, sip: SocketAddr) -> Result<bool, String> {
    let screen = Screen::new();
    screen.say("Kari calls. Anna and Bo are agents. Lisa, a supervisor, listens. All of them have real phones on real sockets.");
    screen.say(&format!("The engine takes SIP on {sip} and orders on {}", client.base()));
    if !args.once {
        screen.say("Listen yourself: open this page and click on Listen. Anna is left, Kari right; no microphone is asked for.");
        screen.say(&format!("  {}", client.page()));
        screen.say(&format!("Without what follows the #, the page asks who you are: lisa, {}", stage.password));
        screen.say("Or order a listening while somebody talks, and Lisa's phone rings:");
        screen.say(&format!("  {}", client.curl("anna")));
        screen.say("Ctrl-C ends the demo.");
    }
    let mut story = Story::new(cast, client, &screen);
    let told = tokio::select! {
        told = story.tell(args.once) => told,
        interrupted = tokio::signal::ctrl_c() => {
            screen.say("Ctrl-C: everybody hangs up.");
            interrupted.map_err(|error| error.to_string())
        }
    };
    let checks = story.into_checks();
    cast.hang_up().await;
    tokio::time::sleep(GOODBYE).await;
    let heard = recording::write(&args.wav, &cast.listener)?;
    screen.say(&format!("What Lisa heard is in {}: {:.1} s.", args.wav.display(), heard.as_secs_f32()));
    let good = checks.show(&screen);
    if let Err(error) = told {
        screen.say(&format!("The story stopped: {error}"));
        return Ok(false);
    }
    Ok(good)
}
