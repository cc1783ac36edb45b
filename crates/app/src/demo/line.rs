//! A phone's sockets and clock: what `phone` decides is done here.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use phone::{Call, CallId, Input, Kind, Output, Phone, Settings, State};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What waits for one phone at most; readers wait when it is full.
const MAX_WAITING: usize = 1_024;
/// Larger than any datagram of the demo.
const DATAGRAM: usize = 65_535;
/// A phone without anything due looks at the clock again after so long.
const IDLE: Duration = Duration::from_secs(60);
/// Tries to find an even port whose next one is free.
const PORT_TRIES: usize = 200;

/// A phone on the network.
#[derive(Debug)]
pub(crate) struct Line {
    phone: Arc<Mutex<Phone>>,
    inbox: mpsc::Sender<Message>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Message {
    Input(Input),
    /// What an act of a person led to.
    Outputs(Vec<Output>),
}

/// One call's sockets and their readers.
#[derive(Debug)]
struct Media {
    rtp: Arc<UdpSocket>,
    rtcp: Arc<UdpSocket>,
    readers: [JoinHandle<()>; 2],
}

impl Drop for Media {
    fn drop(&mut self) {
        for reader in &self.readers {
            reader.abort();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    /// Puts a phone on its socket.
    pub(crate) fn new(settings: Settings, sip: UdpSocket) -> Self {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&settings.local.port().to_le_bytes());
        let phone = Arc::new(Mutex::new(Phone::new(settings, seed)));
        let (inbox, outbox) = mpsc::channel(MAX_WAITING);
        let task = tokio::spawn(serve(Arc::clone(&phone), Arc::new(sip), inbox.clone(), outbox));
        Self { phone, inbox, task }
    }

    /// Looks at the phone.
    pub(crate) fn look<T>(&self, what: impl FnOnce(&Phone) -> T) -> T {
        what(&lock(&self.phone))
    }

    /// Looks at one call.
    pub(crate) fn call<T>(&self, id: CallId, what: impl FnOnce(&Call) -> T) -> Option<T> {
        self.look(|phone| phone.call(id).map(what))
    }

    /// The newest call, if there is one that is not over.
    pub(crate) fn current(&self) -> Option<CallId> {
        self.look(|phone| phone.calls().rev().find(|c| c.state() != State::Ended).map(Call::id))
    }

    /// Where a call is; one that is forgotten is over.
    pub(crate) fn state(&self, id: CallId) -> State {
        self.call(id, Call::state).unwrap_or(State::Ended)
    }

    /// Does something with the phone.
    pub(crate) async fn act<T>(&self, what: impl FnOnce(&mut Phone, Instant, &mut Vec<Output>) -> T) -> T {
        let mut outputs = Vec::new();
        let result = what(&mut lock(&self.phone), Instant::now(), &mut outputs);
        // The task lives as long as the line does.
        let _ = self.inbox.send(Message::Outputs(outputs)).await;
        result
    }

    /// Ends every call.
    pub(crate) async fn hang_up_all(&self) {
        let calls: Vec<CallId> = self.look(|p| p.calls().filter(|c| c.state() != State::Ended).map(Call::id).collect());
        for call in calls {
            self.act(|phone, now, out| phone.hang_up(now, call, out)).await;
        }
    }
}

fn lock(phone: &Mutex<Phone>) -> MutexGuard<'_, Phone> {
    phone.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One phone's task: inputs in, outputs out, until the line is dropped.
async fn serve(
    phone: Arc<Mutex<Phone>>,
    sip: Arc<UdpSocket>,
    inbox: mpsc::Sender<Message>,
    mut outbox: mpsc::Receiver<Message>,
) {
    let reader = tokio::spawn(read_sip(Arc::clone(&sip), inbox.clone()));
    let _stop = AbortOnDrop(reader);
    let mut media: HashMap<CallId, Media> = HashMap::new();
    loop {
        let wake = lock(&phone).wake_at().unwrap_or_else(|| Instant::now() + IDLE);
        let message = tokio::select! {
            message = outbox.recv() => message,
            () = tokio::time::sleep_until(wake.into()) => Some(Message::Input(Input::Timeout)),
        };
        let mut due: VecDeque<Output> = match message {
            None => return,
            Some(Message::Outputs(outputs)) => outputs.into(),
            Some(Message::Input(input)) => drive(&phone, input).into(),
        };
        while let Some(output) = due.pop_front() {
            if let Some(input) = carry_out(output, &sip, &mut media, &inbox).await {
                due.extend(drive(&phone, input));
            }
        }
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn drive(phone: &Mutex<Phone>, input: Input) -> Vec<Output> {
    let mut outputs = Vec::new();
    lock(phone).drive(Instant::now(), input, &mut outputs);
    outputs
}

/// Sends, opens and closes; gives what the phone must know at once.
async fn carry_out(
    output: Output,
    sip: &UdpSocket,
    media: &mut HashMap<CallId, Media>,
    inbox: &mpsc::Sender<Message>,
) -> Option<Input> {
    match output {
        Output::Sip { to, data } => {
            // A datagram that cannot be sent is a lost one: the phone repeats it.
            let _ = sip.send_to(&data, to).await;
        }
        Output::Media { call, kind, to, data } => {
            if let Some(media) = media.get(&call) {
                let socket = if kind == Kind::Rtp { &media.rtp } else { &media.rtcp };
                let _ = socket.try_send_to(&data, to);
            }
        }
        Output::OpenMedia { call } => {
            let (rtp, rtcp) = media_pair().await?;
            let addr = rtp.local_addr().ok()?;
            let readers = [(Kind::Rtp, &rtp), (Kind::Rtcp, &rtcp)]
                .map(|(kind, socket)| tokio::spawn(read_media(Arc::clone(socket), call, kind, inbox.clone())));
            media.insert(call, Media { rtp, rtcp, readers });
            return Some(Input::MediaOpened { call, rtp: addr });
        }
        Output::CloseMedia { call } => drop(media.remove(&call)),
        Output::Event(_) => {}
    }
    None
}

/// An even port and the next one.
async fn media_pair() -> Option<(Arc<UdpSocket>, Arc<UdpSocket>)> {
    for _ in 0..PORT_TRIES {
        let rtp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.ok()?;
        let port = rtp.local_addr().ok()?.port();
        if port % 2 == 0
            && let Ok(rtcp) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port + 1)).await
        {
            return Some((Arc::new(rtp), Arc::new(rtcp)));
        }
    }
    None
}

async fn read_sip(socket: Arc<UdpSocket>, inbox: mpsc::Sender<Message>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        // An error here is an ICMP answer to something that was sent: nothing to read.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let data = bytes::Bytes::copy_from_slice(&buffer[..length]);
        if inbox.send(Message::Input(Input::Sip { from, data })).await.is_err() {
            return;
        }
    }
}

async fn read_media(socket: Arc<UdpSocket>, call: CallId, kind: Kind, inbox: mpsc::Sender<Message>) {
    let mut buffer = vec![0; 2_048];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let data = bytes::Bytes::copy_from_slice(&buffer[..length]);
        if inbox.send(Message::Input(Input::Media { call, kind, from, data })).await.is_err() {
            return;
        }
    }
}
