//! The page as listener: it rings in its user's browser, which answers with an SDP offer (WHEP). Whichever of its tabs
//! offers last plays; an ear outlives its players.

use std::time::Duration;

use media::ListenerId;

use crate::codecs;
use crate::engine::Core;
use crate::interface::{Problem, Reply, ReplyId};
use crate::monitoring::{ClosedEar, Coming, Ear, EarKey, EarState, Line, ListeningPhase, Page, Player, Target};
use crate::timers::Timer;
use crate::view::{EndReason, ListenerKind};

/// So long the media plane may take for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// So long an answered player may take to connect, though the page has rung long enough.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// So long a live page may be without a player after its browser closed one: a page that is loaded again does that.
const RETURN_WAIT: Duration = Duration::from_secs(8);

impl Core {
    /// The page of a user rings: no port, no INVITE.
    pub(crate) fn ring_page(&mut self, id: &str, agent: &str, target: Target) {
        let Some(mix) = self.listenings.get(id).map(|listening| codecs::mix(&listening.view)) else { return };
        let shard = self.shard_of_listening(id);
        let key = self.ids.next();
        let rings_until = self.after(self.settings.ring_timeout);
        let line = Line::Page(Page { rings_until, player: None, coming: None });
        self.new_ear(key, agent, shard, target, line, mix);
        self.counters.count("pages_rung");
        self.timers.set(Timer::Ring(key), rings_until);
        self.join_ear(id, key);
    }

    /// `POST …/whep`: the player's offer. It listens when its connection stands.
    pub(crate) fn whep(
        &mut self,
        reply: ReplyId,
        actor: &str,
        id: &str,
        offer: String,
    ) -> Result<Option<Reply>, Problem> {
        let key = self.page_ear(actor, id)?;
        if self.judge_rights_on(key) {
            self.page_ear(actor, id)?;
        }
        let listener = ListenerId(self.ids.next());
        let session = self.ids.ulid("whep", self.now.wall);
        let Some(ear) = self.ears.get_mut(&key) else { return Err(Problem::listening_not_found()) };
        let (shard, mix, taps, shielded) = (ear.shard, ear.mix, ear.taps, ear.shielded);
        let Some(page) = ear.page_mut() else { return Err(Problem::listening_not_found()) };
        if page.coming.is_some() {
            return Err(Problem::new(503, "busy", "another offer of this page is being answered"));
        }
        page.coming = Some(Coming { listener, session, reply });
        self.players.insert(listener, key);
        self.out.media(media::Command::OpenBrowser { listener, shard, offer });
        self.out.media(media::Command::Mix { listener, mix });
        if shielded {
            self.out.media(media::Command::Shield { listener, on: true });
        }
        self.out.media(media::Command::Focus { listener, taps });
        self.await_answer(listener);
        Ok(None)
    }

    /// `PATCH` of its `Location`.
    pub(crate) fn whep_restart(
        &mut self,
        reply: ReplyId,
        actor: &str,
        id: &str,
        session: &str,
        fragment: String,
    ) -> Result<Option<Reply>, Problem> {
        let key = self.page_ear(actor, id)?;
        let player = self.player_named(key, session)?;
        if player.restarts.is_some() {
            return Err(Problem::new(503, "busy", "another restart of this player is being answered"));
        }
        player.restarts = Some(reply);
        let listener = player.listener;
        self.out.media(media::Command::RestartBrowser { listener, fragment });
        self.await_answer(listener);
        Ok(None)
    }

    /// `DELETE` of its `Location`: of a player that another one has replaced it ends nothing.
    pub(crate) fn whep_stop(&mut self, actor: &str, id: &str, session: &str) -> Result<Option<Reply>, Problem> {
        let key = self.page_ear(actor, id)?;
        self.player_named(key, session)?;
        self.end_ear_with(key, EndReason::ListenerHungUp);
        Ok(Some(Reply::Nothing))
    }

    /// The ear of a listening that rings or plays on the actor's own page.
    fn page_ear(&self, actor: &str, id: &str) -> Result<EarKey, Problem> {
        self.own_listening(actor, id)?;
        let Some(listening) = self.listenings.get(id) else { return Err(Problem::listening_not_found()) };
        let listener = &listening.view.listener;
        if listener.kind != ListenerKind::Page || listener.user.as_deref() != Some(actor) {
            return Err(Problem::forbidden("it is not your page that listens"));
        }
        match listening.phase {
            ListeningPhase::OnEar(ear) => Ok(ear),
            _ => Err(Problem::new(409, "not-ringing", "the listening waits: it does not ring yet")),
        }
    }

    fn player_named(&mut self, key: EarKey, session: &str) -> Result<&mut Player, Problem> {
        let player = self.ears.get_mut(&key).and_then(Ear::page_mut).and_then(|page| page.player.as_mut());
        player
            .filter(|player| player.session == session)
            .ok_or_else(|| Problem::new(404, "not-found", "there is no such player any more"))
    }

    fn await_answer(&mut self, listener: ListenerId) {
        let at = self.after(ANSWER_WAIT);
        self.timers.set(Timer::Player(listener), at);
    }

    /// The media plane's answer to an offer or a restart.
    pub(crate) fn browser_answered(&mut self, listener: ListenerId, answer: Result<String, String>) {
        self.timers.cancel(&Timer::Player(listener));
        let answer = answer.map_err(|why| Problem::invalid("offer", why));
        self.player_answered(listener, answer);
    }

    /// It did not answer.
    pub(crate) fn browser_overdue(&mut self, listener: ListenerId) {
        self.counters.count("players_unanswered");
        let detail = format!("the media plane did not answer within {} s", ANSWER_WAIT.as_secs());
        self.player_answered(listener, Err(Problem::new(503, "busy", detail)));
    }

    fn player_answered(&mut self, listener: ListenerId, answer: Result<String, Problem>) {
        let Some(key) = self.players.get(&listener).copied() else { return };
        let Some(page) = self.ears.get_mut(&key).and_then(Ear::page_mut) else { return };
        if let Some(coming) = page.coming.take_if(|coming| coming.listener == listener) {
            let Coming { session, reply, .. } = coming;
            match answer {
                Ok(body) => {
                    let player = Player { listener, session: session.clone(), restarts: None };
                    self.out.replies.push((reply, Ok(Reply::Whep { session, body })));
                    self.player_plays(key, player);
                }
                Err(problem) => {
                    self.out.replies.push((reply, Err(problem)));
                    self.player_fails(key, listener);
                }
            }
        } else if let Some(player) = page.player.as_mut().filter(|player| player.listener == listener) {
            let session = player.session.clone();
            let Some(reply) = player.restarts.take() else { return };
            self.out.replies.push((reply, answer.map(|body| Reply::Whep { session, body })));
        }
    }

    /// It takes the place of the one before, whose listening goes on.
    fn player_plays(&mut self, key: EarKey, player: Player) {
        let connects_until = self.after(CONNECT_WAIT);
        let Some(ear) = self.ears.get_mut(&key) else { return };
        let (hears, heard_ms) = (ear.hears, std::mem::take(&mut ear.heard_ms));
        let is_live = ear.state == EarState::Live;
        if !is_live {
            ear.state = EarState::Answered;
        }
        let Some(page) = ear.page_mut() else { return };
        let rings_until = page.rings_until.max(connects_until);
        self.timers.cancel(&Timer::Return(key));
        if let Some(old) = page.player.replace(player) {
            self.counters.count("players_replaced");
            self.player_over(&old);
            let listener = old.listener;
            let closed = ClosedEar { listener, hears, heard_ms, listenings: Vec::new(), heir: Some(key) };
            // by a key of its own: the ear has yet to close
            self.players.remove(&listener);
            self.await_figures(listener.0, closed);
        }
        if !is_live {
            self.timers.set(Timer::Ring(key), rings_until);
        }
    }

    /// An offer came to nothing. The page rings on; one whose player is gone meanwhile has lost its last, unless it may
    /// still try again.
    fn player_fails(&mut self, key: EarKey, listener: ListenerId) {
        self.players.remove(&listener);
        self.timers.cancel(&Timer::Player(listener));
        self.out.media(media::Command::CloseListener { listener });
        let Some(ear) = self.ears.get(&key) else { return };
        let may_return = self.timers.is_set(&Timer::Return(key));
        if ear.state == EarState::Live && !may_return && ear.page().is_some_and(|page| page.player.is_none()) {
            self.end_ear_with(key, EndReason::ListenerLost);
        }
    }

    /// The browser's side is gone: it said so, or it is not heard of any more.
    pub(crate) fn browser_gone(&mut self, listener: ListenerId, closed: bool) {
        let Some(key) = self.players.get(&listener).copied() else { return };
        let Some(ear) = self.ears.get_mut(&key).filter(|ear| ear.state != EarState::Ending) else { return };
        let is_live = ear.state == EarState::Live;
        let Some(page) = ear.page_mut() else { return };
        if page.coming.as_ref().is_some_and(|coming| coming.listener == listener) {
            return; // its answer says so
        }
        let is_last = is_live && page.coming.is_none();
        if is_last && !closed {
            return self.end_ear_with(key, EndReason::ListenerLost);
        }
        // it never connected, or the next one is on its way, or may be: a page that is loaded again
        let rings_until = page.rings_until.max(self.now.mono);
        let Some(player) = page.player.take() else { return };
        let (hears, heard_ms) = (ear.hears, std::mem::take(&mut ear.heard_ms));
        if !is_live {
            ear.state = EarState::Ringing;
            self.timers.set(Timer::Ring(key), rings_until);
        } else if is_last {
            let returns_until = self.after(RETURN_WAIT);
            self.timers.set(Timer::Return(key), returns_until);
        }
        self.player_over(&player);
        self.players.remove(&player.listener);
        let closed = ClosedEar { listener: player.listener, hears, heard_ms, listenings: Vec::new(), heir: Some(key) };
        self.await_figures(player.listener.0, closed);
    }

    /// The browser closed its player and no other one came: it was hung up.
    pub(crate) fn page_not_back(&mut self, key: EarKey) {
        let Some(page) = self.ears.get(&key).filter(|ear| ear.state == EarState::Live).and_then(Ear::page) else {
            return;
        };
        // an offer under way says how it ends
        if page.player.is_none() && page.coming.is_none() {
            self.end_ear_with(key, EndReason::ListenerHungUp);
        }
    }

    /// What waits for a player is told that it is over.
    fn player_over(&mut self, player: &Player) {
        self.timers.cancel(&Timer::Player(player.listener));
        self.out.media(media::Command::CloseListener { listener: player.listener });
        if let Some(reply) = player.restarts {
            self.out.replies.push((reply, Err(Problem::new(404, "not-found", "the player is over"))));
        }
    }

    /// The page's ear is over. Returns whose last figures are to come.
    pub(crate) fn close_players(&mut self, key: EarKey) -> Option<ListenerId> {
        let page = self.ears.get_mut(&key)?.page_mut()?;
        let (player, coming) = (page.player.take(), page.coming.take());
        if let Some(Coming { listener, reply, .. }) = coming {
            self.players.remove(&listener);
            self.timers.cancel(&Timer::Player(listener));
            self.out.media(media::Command::CloseListener { listener });
            self.out.replies.push((reply, Err(Problem::listening_not_found())));
        }
        let player = player?;
        self.player_over(&player);
        Some(player.listener)
    }

    /// Pages that were hung up are gone at once: there is nobody to wait for.
    pub(crate) fn forget_pages(&mut self) {
        while let Some(key) = self.gone_pages.pop() {
            let Some(ear) = self.ears.remove(&key) else { continue };
            self.shards.listener_left(ear.shard);
            self.dirty_desks.insert(ear.agent);
            self.listener_free(&ear.target);
        }
    }
}
