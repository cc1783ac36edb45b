//! Days of deliveries on a paused clock, over a line that is told what to answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::view::{AgentStatus, AgentView, CallState, EventBody, EventName, Role, UserView};
use engine::{Event, NoteKind, View};
use jiff::{SignedDuration, Timestamp};
use store::{MemoryStore, Store};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::hook::tests::hook;
use super::line::{Line, Outcome, Parcel, Posting};
use super::{Policy, Settings, State, Webhooks, kept};
use crate::Api;
use crate::events::RING_MAX;

/// What an endpoint does with a parcel.
type Answers = Arc<dyn Fn(&Parcel) -> (Duration, u16) + Send + Sync>;
type Sent = Arc<Mutex<Vec<(Duration, Parcel)>>>;

const AT_ONCE: Duration = Duration::ZERO;
const NEVER: Duration = Duration::from_secs(1_000_000);

struct Told {
    answers: Answers,
    sent: Sent,
    started: Instant,
}

impl Line for Told {
    fn post<'a>(&'a mut self, policy: &'a Arc<Policy>, parcel: &'a Parcel) -> Posting<'a> {
        self.sent.lock().unwrap().push((self.started.elapsed(), parcel.clone()));
        let (after, status) = (self.answers)(parcel);
        Box::pin(async move {
            sleep(after.min(policy.settings.timeout)).await;
            match after > policy.settings.timeout {
                true => Outcome { error: Some("timeout"), ..Outcome::default() },
                false => Outcome { status: Some(status), ..Outcome::default() },
            }
        })
    }
}

struct Scene {
    api: Api,
    store: Arc<MemoryStore>,
    sent: Sent,
    running: JoinHandle<()>,
    started: Instant,
}

fn user(id: &str, role: Role) -> UserView {
    UserView { id: id.to_owned(), name: id.to_owned(), role, groups: None, softphone: None, registered: false }
}

fn agent(id: &str) -> AgentView {
    AgentView {
        id: id.to_owned(),
        name: id.to_owned(),
        number: "1001".to_owned(),
        group: Some("Support".to_owned()),
        skills: Vec::new(),
        status: AgentStatus::Ready,
        status_since: Timestamp::UNIX_EPOCH,
        registered: true,
        monitorable: true,
        calls: Vec::new(),
    }
}

fn status(n: usize) -> Event {
    let at = Timestamp::from_millisecond(1_800_000_000_000 + i64::try_from(n).unwrap()).unwrap();
    Event { name: EventName::AgentStatus, at, body: EventBody::Agent(agent(&format!("a{n}"))) }
}

impl Scene {
    fn new(hooks: &[&str], answers: impl Fn(&Parcel) -> (Duration, u16) + Send + Sync + 'static) -> Self {
        let store = Arc::new(MemoryStore::new());
        for id in hooks {
            let mut hook = hook(id, "ada");
            hook.url = format!("https://{}.example/", id.to_lowercase().replace('_', "-")).parse().unwrap();
            store.apply(&[kept(&hook)]).unwrap();
        }
        Self::over(store, Instant::now(), answers)
    }

    /// A process over this store.
    fn over(
        store: Arc<MemoryStore>,
        started: Instant,
        answers: impl Fn(&Parcel) -> (Duration, u16) + Send + Sync + 'static,
    ) -> Self {
        let (sent, answers): (Sent, Answers) = (Sent::default(), Arc::new(answers));
        let there = Arc::clone(&sent);
        let line = move || -> Box<dyn Line> {
            Box::new(Told { answers: Arc::clone(&answers), sent: Arc::clone(&there), started })
        };
        let base: Timestamp = "2027-01-15T08:00:00Z".parse().unwrap();
        let now = move || base + SignedDuration::try_from(started.elapsed()).unwrap();
        let webhooks = Webhooks::with(&*store, Box::new(now), Box::new(line));
        let api = Api::new(mpsc::channel(1).0, store.clone(), Vec::new()).webhooks(webhooks);
        api.view(View::User(user("ada", Role::Admin)));
        let there = api.clone();
        let running = tokio::spawn(async move { there.send_webhooks().await });
        Self { api, store, sent, running, started }
    }

    fn publish(&self, events: impl Iterator<Item = usize>) {
        events.for_each(|n| self.api.event(status(n)));
    }

    /// When each attempt began, in whole seconds since the start.
    fn seconds(&self) -> Vec<u64> {
        self.sent.lock().unwrap().iter().map(|(at, _)| at.as_secs()).collect()
    }

    fn count_of(&self, host: &str) -> usize {
        self.sent.lock().unwrap().iter().filter(|(_, parcel)| parcel.url.host_str() == Some(host)).count()
    }

    fn figure(&self, name: &str) -> u64 {
        let (counters, gauges) = self.api.inner.webhooks.figures();
        let gauges = gauges.map(|(name, value)| (name, value as u64));
        counters.into_iter().chain(gauges).find(|(known, _)| *known == name).unwrap().1
    }

    fn paused_for(&self, id: &str) -> Option<String> {
        let hook = self.api.inner.webhooks.hook(id).unwrap();
        assert_eq!(hook.active, hook.paused.is_none());
        hook.paused.as_ref().map(|paused| paused.reason.word().to_owned())
    }

    async fn end(self) -> (Arc<MemoryStore>, Instant) {
        self.api.close_events();
        self.running.await.unwrap();
        (self.store, self.started)
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_is_tried_for_a_day_and_then_paused() {
    let scene = Scene::new(&["whk_1"], |_| (AT_ONCE, 503));
    scene.publish(1..2);
    sleep(Duration::from_secs(23 * 3600)).await;
    assert_eq!(scene.sent.lock().unwrap().len(), 7);
    assert_eq!(scene.paused_for("whk_1"), None);
    sleep(Duration::from_secs(2 * 3600)).await;
    let tried = scene.seconds();
    assert_eq!(tried.len(), 8, "{tried:?}");
    assert!((86_395..86_405).contains(tried.last().unwrap()), "{tried:?}");
    let sent = scene.sent.lock().unwrap().clone();
    assert!(sent.iter().all(|(_, parcel)| parcel.id == sent[0].1.id && parcel.body == sent[0].1.body));
    assert!(sent.windows(2).all(|two| two[0].1.signature != two[1].1.signature), "each attempt signs its own time");

    assert_eq!(scene.paused_for("whk_1").as_deref(), Some("failing"));
    let noted = scene.api.notes();
    assert!(matches!(&noted[..], [note] if note.actor == "engine"
        && matches!(&note.kind, NoteKind::Did { deed: engine::Deed::WebhookPaused, target, .. } if target == "whk_1")));
    scene.publish(2..9);
    sleep(Duration::from_secs(48 * 3600)).await;
    assert_eq!(scene.sent.lock().unwrap().len(), 8, "nothing goes to a paused one");
    assert_eq!((scene.figure("webhook_deliveries_given_up"), scene.figure("webhooks_active")), (1, 0));

    let (store, started) = scene.end().await;
    let scene = Scene::over(store, started, |_| (AT_ONCE, 204));
    assert_eq!(scene.paused_for("whk_1").as_deref(), Some("failing"), "the next process knows");
    let failed = scene.api.inner.webhooks.deliveries("whk_1", Some(State::Failed));
    assert_eq!(failed.len(), 1, "and what was given up can still be tried again");
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_it_was() {
    let scene = Scene::new(&["whk_1"], |_| (AT_ONCE, 500));
    scene.publish(1..3);
    sleep(Duration::from_secs(10)).await;
    let before = scene.sent.lock().unwrap().clone();
    assert_eq!(before.len(), 4, "two each");
    let (store, started) = scene.end().await;
    assert_eq!(store.documents("delivery").unwrap().len(), 2);

    let scene = Scene::over(store, started, |_| (AT_ONCE, 200));
    sleep(Duration::from_secs(200)).await;
    assert!(scene.seconds().is_empty(), "not before its time");
    sleep(Duration::from_secs(200)).await;
    let after = scene.sent.lock().unwrap().clone();
    assert_eq!(after.len(), 2);
    for (_, parcel) in &after {
        assert!(before.iter().any(|(_, old)| old.id == parcel.id && old.body == parcel.body));
    }
    assert_eq!(scene.figure("webhook_deliveries_made"), 2);
    let (store, _) = scene.end().await;
    assert_eq!(store.documents("delivery").unwrap(), [], "what was delivered is not kept");
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_when_the_process_ends_is_sent_by_the_next() {
    let scene = Scene::new(&["whk_1"], |_| (NEVER, 200));
    scene.publish(1..4);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.figure("webhook_attempts_under_way"), 3);
    let (store, started) = scene.end().await;
    let scene = Scene::over(store, started, |_| (AT_ONCE, 200));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.figure("webhook_deliveries_made"), 3);
    assert_eq!(scene.figure("webhook_deliveries_pending"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_slow_delays_no_other() {
    let ids: Vec<String> = (0..40).map(|n| format!("whk_slow{n}")).chain(["whk_fast".to_owned()]).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let slow = |parcel: &Parcel| match parcel.url.host_str() {
        Some("whk-fast.example") => (Duration::from_millis(2), 200),
        _ => (Duration::from_millis(4900), 200),
    };
    let scene = Scene::new(&ids, slow);
    for second in 0..20 {
        scene.publish(second * 100..second * 100 + 100);
        sleep(Duration::from_secs(1)).await;
        assert!(scene.count_of("whk-fast.example") >= (second + 1) * 100, "second {second}");
    }
    let under_way = scene.figure("webhook_attempts_under_way");
    assert!((90..=105).contains(&under_way), "{under_way}");
    assert!(scene.count_of("whk-slow7.example") >= 4);
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_gets_one_attempt_at_a_time() {
    let scene = Scene::new(&["whk_1"], |_| (NEVER, 200));
    scene.publish(0..100);
    sleep(Duration::from_secs(7)).await;
    assert_eq!(scene.figure("webhook_attempts_under_way"), 1);
    sleep(Duration::from_secs(50)).await;
    assert!(scene.sent.lock().unwrap().len() <= 8 + 12);
}

#[tokio::test(start_paused = true)]
async fn more_than_is_kept_pauses_and_is_counted() {
    let scene = Scene::new(&["whk_1", "whk_2"], |parcel| match parcel.url.host_str() {
        Some("whk-1.example") => (NEVER, 200),
        _ => (AT_ONCE, 200),
    });
    scene.api.webhook_settings(Settings { max_pending: 50, ..Settings::default() });
    for n in 0..60 {
        scene.publish(n..n + 1);
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(scene.paused_for("whk_1").as_deref(), Some("too-many-pending"));
    assert_eq!(scene.paused_for("whk_2"), None);
    assert_eq!(scene.figure("webhook_deliveries_dropped"), 1, "after that there is nothing to drop");
    // 60 events and the word that whk_1 was paused
    assert_eq!(scene.count_of("whk-2.example"), 61);
}

#[tokio::test(start_paused = true)]
async fn events_that_the_ring_lost_are_made_up_for() {
    let scene = Scene::new(&["whk_1"], |_| (AT_ONCE, 200));
    // all at once: no task has its turn meanwhile
    scene.publish(0..RING_MAX + 10);
    sleep(Duration::from_secs(1)).await;
    scene.publish(0..1);
    sleep(Duration::from_secs(1)).await;
    let sent = scene.sent.lock().unwrap().clone();
    let bodies: Vec<_> = sent.iter().map(|(_, parcel)| parcel.body.to_string()).collect();
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert!(bodies[0].starts_with(r#"{"type":"resync","#) && bodies[0].contains("too-slow"), "{bodies:?}");
    assert!(bodies[1].starts_with(r#"{"type":"agent.status","#), "{bodies:?}");
    assert_eq!(scene.figure("webhook_resyncs"), 1);
}

#[tokio::test(start_paused = true)]
async fn three_hundred_events_a_second_are_few_transactions() {
    let scene = Scene::new(&["whk_1", "whk_2"], |_| (Duration::from_millis(5), 200));
    for n in 0..3000 {
        scene.publish(n..n + 1);
        sleep(Duration::from_micros(3333)).await;
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.figure("webhook_deliveries_made"), 6000);
    let batches = scene.figure("webhook_store_batches");
    let elapsed = scene.started.elapsed();
    assert!(u128::from(batches) <= elapsed.as_millis() / 50, "{batches} in {elapsed:?}");
    let (store, _) = scene.end().await;
    assert_eq!(store.documents("delivery").unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn one_whose_owner_is_gone_is_paused() {
    let scene = Scene::new(&["whk_1"], |_| (AT_ONCE, 200));
    scene.api.view(View::User(user("ada", Role::Supervisor)));
    scene.publish(0..3);
    sleep(Duration::from_secs(30)).await;
    scene.api.view(View::User(user("ada", Role::Admin)));
    sleep(Duration::from_secs(300)).await;
    assert_eq!((scene.paused_for("whk_1"), scene.seconds().len()), (None, 0), "a moment is no reason");
    scene.api.view(View::UserRemoved("ada".to_owned()));
    scene.publish(3..6);
    sleep(Duration::from_secs(62)).await;
    assert_eq!(scene.paused_for("whk_1").as_deref(), Some("owner-gone"));
    assert!(scene.seconds().is_empty());
}

#[test]
fn filters_choose_by_name_agent_and_group() {
    let model = crate::model::Model::default();
    model.apply(View::Agent(agent("anna")));
    let call = |agent: Option<&str>| {
        let call = serde_json::json!({"id": "call_1", "interaction": "i", "agent": agent, "direction": "inbound",
            "caller_number": null, "called_number": null, "access_number": null, "queue": null,
            "state": CallState::Up, "held": false, "shielded": false, "started_at": "2026-01-01T00:00:00Z",
            "answered_at": null, "ended_at": null, "end": null, "listenings": [], "legs": []});
        EventBody::Call(serde_json::from_value(call).unwrap())
    };
    let wants = |agents: &[&str], groups: &[&str], events: &[EventName], body: &EventBody| {
        let mut hook = hook("whk_1", "ada");
        hook.agents = agents.iter().map(|&agent| agent.to_owned()).collect();
        hook.groups = groups.iter().map(|&group| group.to_owned()).collect();
        hook.events = events.to_vec();
        hook.wants(&model, EventName::CallEnded, body)
    };
    assert!(wants(&[], &[], &[], &call(None)));
    assert!(wants(&[], &[], &[EventName::CallEnded], &call(Some("anna"))));
    assert!(!wants(&[], &[], &[EventName::CallStarted], &call(Some("anna"))));
    assert!(wants(&["anna"], &[], &[], &call(Some("anna"))));
    assert!(!wants(&["bo"], &[], &[], &call(Some("anna"))));
    assert!(wants(&["bo"], &["Support"], &[], &call(Some("anna"))));
    assert!(!wants(&[], &["Sales"], &[], &call(Some("anna"))));
    assert!(!wants(&["anna"], &["Support"], &[], &call(None)));
    assert!(wants(&[], &["Support"], &[], &EventBody::Agent(agent("new"))));
}
