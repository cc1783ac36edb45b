//! What happens in the demo, and what must be true of it.

use std::time::{Duration, Instant};

use phone::{Call, CallId, Dial, State};
use signalling::sdp::Direction;

use super::cast::{ANNA, BO, CALLER_NUMBER, Cast, KARI};
use super::client::Client;
use super::line::Line;
use super::screen::Screen;

/// One look at phones and meters.
const TICK: Duration = Duration::from_millis(50);
/// What should happen at once happens within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// Sound on the way and in buffers, before one judges what is heard.
const SETTLE: Duration = Duration::from_millis(300);
/// How long a meter looks back.
const METER: Duration = Duration::from_millis(150);

/// What was checked, and how it came out.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<(String, bool)>);

impl Checks {
    fn note(&mut self, what: &str, so: bool) {
        self.0.push((what.to_owned(), so));
    }

    /// Prints them; true if all are so.
    pub(crate) fn show(&self, screen: &Screen) -> bool {
        for (what, so) in &self.0 {
            screen.say(&format!("{}  {what}", if *so { "checked" } else { "NOT SO " }));
        }
        self.0.iter().all(|(_, so)| *so)
    }
}

/// The story while it is told.
#[derive(Debug)]
pub(crate) struct Story<'a> {
    cast: &'a Cast,
    client: &'a Client,
    screen: &'a Screen,
    checks: Checks,
    /// Lisa's calls that the screen has told of, and where they were.
    lisa: Vec<(CallId, State)>,
}

impl<'a> Story<'a> {
    pub(crate) fn new(cast: &'a Cast, client: &'a Client, screen: &'a Screen) -> Self {
        Self { cast, client, screen, checks: Checks::default(), lisa: Vec::new() }
    }

    pub(crate) fn into_checks(self) -> Checks {
        self.checks
    }

    /// Tells the story once with an order of its own, then (unless `once`) on and on for whoever orders.
    pub(crate) async fn tell(&mut self, once: bool) -> Result<(), String> {
        self.round(true, Duration::from_secs(3)).await?;
        if once {
            return Ok(());
        }
        loop {
            self.pause(Duration::from_secs(3)).await;
            self.round(false, Duration::from_secs(15)).await?;
        }
    }

    /// Call, (order,) consultation, transfer, end.
    async fn round(&mut self, orders: bool, talk: Duration) -> Result<(), String> {
        let (cast, screen) = (self.cast, self.screen);
        screen.say(&format!("Kari ({CALLER_NUMBER}) calls Support; Anna's phone rings."));
        let dial = Dial::to("sip:1001@demo.medlytt").from(CALLER_NUMBER).header("X-Queue", "Support");
        let kari = cast.caller.act(|p, now, out| p.dial(now, dial, out)).await;
        self.until("Anna answers", || cast.caller.state(kari) == State::Up).await?;
        let anna = cast.anna.current().ok_or("Anna has no call")?;
        screen.say("Anna answers. They talk.");
        self.pause(if orders { Duration::from_secs(1) } else { talk }).await;

        let ordered = if orders { Some(self.order(talk).await?) } else { None };

        screen.say("Anna puts Kari on hold and asks Bo.");
        cast.anna.act(|p, now, out| p.hold(now, anna, Direction::Inactive, out)).await;
        let consultation = cast.anna.act(|p, now, out| p.dial(now, Dial::to("sip:1002@demo.medlytt"), out)).await;
        self.until("Bo answers", || cast.anna.state(consultation) == State::Up).await?;
        let bo = cast.bo.current().ok_or("Bo has no call")?;
        self.hear_for(talk, "They confer; Kari waits and hears nothing.").await;
        if let Some((_, ear)) = &ordered {
            let ear = *ear;
            self.judge(
                "Lisa hears Anna and Bo, and not the held Kari",
                &cast.listener,
                ear,
                &[(ANNA, true), (BO, true), (KARI, false)],
                talk,
            );
        }

        screen.say("Anna transfers Kari to Bo and is gone.");
        let refer = |p: &mut phone::Phone, now, out: &mut _| {
            p.refer_replacing(now, anna, "sip:1002@demo.medlytt", consultation, out)
        };
        cast.anna.act(refer).await;
        if let Some((request, ear)) = ordered {
            self.until("Lisa is disconnected", || cast.listener.state(ear) == State::Ended).await?;
            let reason = self.reason(&request).await?;
            self.checks
                .note("Lisa was disconnected with agent-transferred", reason.as_deref() == Some("agent-transferred"));
        }
        self.until("Anna's phone is free", || cast.anna.state(anna) == State::Ended).await?;
        self.hear_for(talk, "Kari and Bo talk on.").await;
        if orders {
            self.judge("Kari hears Bo", &cast.caller, kari, &[(BO, true), (ANNA, false)], talk);
            self.judge("Bo hears Kari", &cast.bo, bo, &[(KARI, true), (ANNA, false)], talk);
        }
        screen.say("Kari hangs up.");
        cast.caller.act(|p, now, out| p.hang_up(now, kari, out)).await;
        self.until("Bo's phone is free", || cast.bo.state(bo) == State::Ended).await
    }

    /// Lisa listens; gives the request and her call.
    async fn order(&mut self, talk: Duration) -> Result<(String, CallId), String> {
        let (cast, screen) = (self.cast, self.screen);
        screen.say("Lisa orders to listen to Anna:");
        screen.say(&format!("  {}", self.client.curl("anna")));
        let request = self.client.order("anna").await?;
        self.until("Lisa's phone rings", || cast.listener.current().is_some()).await?;
        let ear = cast.listener.current().ok_or("Lisa has no call")?;
        self.until("Lisa answers", || cast.listener.state(ear) == State::Up).await?;
        self.hear_for(talk + Duration::from_secs(1), "Lisa hears both; nobody can hear her.").await;
        self.judge("Lisa hears Kari and Anna", &cast.listener, ear, &[(KARI, true), (ANNA, true), (BO, false)], talk);
        Ok((request, ear))
    }

    /// Whether exactly the expected voices are in what a call heard during the last `time`.
    fn judge(&mut self, what: &str, line: &Line, call: CallId, voices: &[(f32, bool)], time: Duration) {
        let now = Instant::now();
        let from = now.checked_sub(time.saturating_sub(SETTLE)).unwrap_or(now);
        let so =
            line.call(call, |c| voices.iter().all(|(pitch, there)| c.ears().hears_voice(*pitch, from, now) == *there));
        self.checks.note(what, so == Some(true));
    }

    /// The archive's word, which is there a moment after the phone was hung up.
    async fn reason(&mut self, request: &str) -> Result<Option<String>, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reason = self.client.end_reason(request).await?;
            if reason.is_some() || Instant::now() > deadline {
                return Ok(reason);
            }
            self.pause(TICK).await;
        }
    }

    async fn hear_for(&mut self, time: Duration, what: &str) {
        self.screen.say(what);
        let end = Instant::now() + time;
        self.pause(time / 2).await;
        self.screen.levels(&self.levels());
        self.pause(end.saturating_duration_since(Instant::now())).await;
    }

    async fn pause(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.tick();
            tokio::time::sleep(TICK.min(end.saturating_duration_since(Instant::now()))).await;
        }
    }

    async fn until(&mut self, what: &str, so: impl Fn() -> bool) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while !so() {
            if Instant::now() > end {
                return Err(format!("{what}: not within {} s", PATIENCE.as_secs()));
            }
            self.tick();
            tokio::time::sleep(TICK).await;
        }
        self.tick();
        Ok(())
    }

    /// Tells what Lisa's phone does, and moves the meters.
    fn tick(&mut self) {
        let calls: Vec<(CallId, State, String)> =
            self.cast.listener.look(|p| p.calls().map(|c| (c.id(), c.state(), shown(c))).collect());
        for (id, state, shown) in calls {
            let known = self.lisa.iter_mut().find(|(known, _)| *known == id);
            match known {
                Some((_, before)) if *before == state => continue,
                Some((_, before)) => *before = state,
                None => self.lisa.push((id, state)),
            }
            match state {
                State::Up => self.screen.say("Lisa answers."),
                State::Ended => self.screen.say("Lisa's phone is hung up."),
                _ => self.screen.say(&format!("Lisa's phone rings: {shown}")),
            }
        }
        self.screen.meters(&self.levels());
    }

    /// What everybody hears, in dBFS.
    fn levels(&self) -> [(&'static str, f32); 4] {
        let now = Instant::now();
        let level =
            |line: &Line| line.current().and_then(|id| line.call(id, |c| c.ears().level(now, METER))).unwrap_or(-96.0);
        let cast = self.cast;
        [
            ("Kari", level(&cast.caller)),
            ("Anna", level(&cast.anna)),
            ("Bo", level(&cast.bo)),
            ("Lisa", level(&cast.listener)),
        ]
    }
}

/// What a phone shows of who calls.
fn shown(call: &Call) -> String {
    let from = call.invite().and_then(|invite| {
        let from = invite.from().ok()?;
        Some(format!("\"{}\" {}", from.display, from.parsed_uri().map(|u| u.user().to_owned()).unwrap_or_default()))
    });
    from.unwrap_or_default()
}
