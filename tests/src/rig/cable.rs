//! Network cables between a browser and the engine, one for HTTP and one for sound: each can be pulled and put in again.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// For HTTP. Runs as long as the process does; what goes through it ends with the test's engine.
pub struct Cable {
    /// Where the browser goes.
    pub address: String,
    plugged: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    /// A cable to `host:port`.
    pub fn to(engine: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cable = Self {
            address: listener.local_addr().unwrap().to_string(),
            plugged: Arc::new(AtomicBool::new(true)),
            streams: Arc::default(),
        };
        let (plugged, streams, engine) = (Arc::clone(&cable.plugged), Arc::clone(&cable.streams), engine.to_owned());
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = plugged.load(Ordering::Relaxed).then(|| TcpStream::connect(&engine));
                // dropped: the browser is refused
                let Some(Ok(far)) = far else { continue };
                let ends = [&near, &far].map(|end| end.try_clone().unwrap());
                streams.lock().unwrap_or_else(PoisonError::into_inner).extend(ends);
                carry(near.try_clone().unwrap(), far.try_clone().unwrap());
                carry(far, near);
            }
        });
        cable
    }

    /// Every connection breaks, and no new one is made.
    pub fn pull(&self) {
        self.plugged.store(false, Ordering::Relaxed);
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// As before.
    pub fn put_in(&self) {
        self.plugged.store(true, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}

/// For sound: datagrams both ways. Put in again after it was pulled it comes from another port, as another network does.
pub struct SoundCable {
    /// Where the browser sends.
    pub port: u16,
    plugged: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl SoundCable {
    /// A cable to the engine's port for browsers.
    pub fn to(engine: SocketAddr) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").unwrap();
        near.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let port = near.local_addr().unwrap().port();
        let (plugged, stop) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicBool>::default());
        let (goes, ends) = (Arc::clone(&plugged), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut browser = None;
            while !ends.load(Ordering::Relaxed) {
                let far = UdpSocket::bind("127.0.0.1:0").unwrap();
                far.set_nonblocking(true).unwrap();
                while goes.load(Ordering::Relaxed) && !ends.load(Ordering::Relaxed) {
                    relay(&near, &far, engine, &mut browser);
                }
                // what comes meanwhile is lost
                let _ = near.recv_from(&mut [0; 2048]);
            }
        });
        Self { port, plugged, stop }
    }

    pub fn pull(&self) {
        self.plugged.store(false, Ordering::Relaxed);
    }

    pub fn put_in(&self) {
        self.plugged.store(true, Ordering::Relaxed);
    }
}

impl Drop for SoundCable {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn relay(near: &UdpSocket, far: &UdpSocket, engine: SocketAddr, browser: &mut Option<SocketAddr>) {
    let mut buffer = [0; 2048];
    if let Ok((length, from)) = near.recv_from(&mut buffer) {
        *browser = Some(from);
        let _ = far.send_to(&buffer[..length], engine);
    }
    while let Ok(length) = far.recv(&mut buffer) {
        if let Some(browser) = browser {
            let _ = near.send_to(&buffer[..length], *browser);
        }
    }
}
