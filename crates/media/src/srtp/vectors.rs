//! Packets of RFC 7714 §16 and §17, and one of the counter mode suites with all its keys derived.

use super::cipher::Cipher;
use super::derive::SessionKeys;
use super::inbound::{Inbound, Refused};
use super::index::RTCP_INDICES;
use super::outbound::{Outbound, Unsent};
use super::{Key, Suite};

/// Bytes from hexadecimal digits; blanks are passed over.
pub(in crate::srtp) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070
                   61727465 73207472 6573";
const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef
                    deadbeef deadbeef deadbeef";
const SALT: &[u8] = b"Quid pro quo";

struct Vector {
    suite: Suite,
    rtp: &'static str,
    rtcp: &'static str,
}

const VECTORS: [Vector; 2] = [
    // §16.1.1, §17.1
    Vector {
        suite: Suite::AeadAes128Gcm,
        rtp: "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
              51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        rtcp: "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda
               4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
    },
    // §16.2.1, §17.2
    Vector {
        suite: Suite::AeadAes256Gcm,
        rtp: "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02
              76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        rtcp: "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be
               8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
    },
];

/// The RFC's keys are session keys, the same for RTP and RTCP.
fn cipher(suite: Suite) -> Cipher {
    let key: Vec<u8> = (0..32).collect();
    Cipher::new(&SessionKeys::given(suite, &key[..suite.key_length()], SALT)).expect("a key of its length")
}

#[test]
fn the_packets_of_rfc_7714_come_out() {
    for vector in VECTORS {
        let mut outbound = Outbound::with(cipher(vector.suite), cipher(vector.suite));
        let mut inbound = Inbound::with(cipher(vector.suite), cipher(vector.suite));
        let (plain, mut buffer) = (hex(RTP), [0; 128]);
        buffer[..plain.len()].copy_from_slice(&plain);
        let length = outbound.rtp(&mut buffer, plain.len()).expect("room");
        assert_eq!(buffer[..length], hex(vector.rtp));
        let opened = inbound.rtp(&mut buffer[..length]).expect("authentic");
        assert_eq!(buffer[..opened.length], plain);

        let plain = hex(RTCP);
        buffer[..plain.len()].copy_from_slice(&plain);
        outbound.set_rtcp_index(0x5d4);
        let length = outbound.rtcp(&mut buffer, plain.len()).expect("room");
        assert_eq!(buffer[..length], hex(vector.rtcp));
        let opened = inbound.rtcp(&mut buffer[..length]).expect("authentic");
        assert_eq!(buffer[..opened.length], plain);
    }
}

/// §17.3 and §17.4 tag without encrypting: not negotiated, so not taken, tag or no tag.
#[test]
fn rtcp_that_is_tagged_alone_is_not_taken() {
    let mut inbound = Inbound::with(cipher(Suite::AeadAes128Gcm), cipher(Suite::AeadAes128Gcm));
    let mut packet = [hex(RTCP), hex("841dd968 3dd78ec9 2ae58790 125f62b3 000005d4")].concat();
    assert_eq!(inbound.rtcp(&mut packet), Err(Refused::Malformed));
}

#[test]
fn a_key_whose_indices_are_used_up_sends_no_report() {
    let mut outbound = Outbound::with(cipher(Suite::AeadAes128Gcm), cipher(Suite::AeadAes128Gcm));
    let mut inbound = Inbound::with(cipher(Suite::AeadAes128Gcm), cipher(Suite::AeadAes128Gcm));
    let (plain, mut buffer) = (hex(RTCP), [0; 128]);
    buffer[..plain.len()].copy_from_slice(&plain);
    outbound.set_rtcp_index(RTCP_INDICES - 1);
    let length = outbound.rtcp(&mut buffer, plain.len()).expect("the last one");
    assert!(inbound.rtcp(&mut buffer[..length]).is_ok());
    assert_eq!(outbound.rtcp(&mut buffer, plain.len()), Err(Unsent::Exhausted));
    assert_eq!(outbound.rtcp(&mut buffer, plain.len()), Err(Unsent::Exhausted));
}

/// Of libsrtp's own tests: master keys of RFC 3711 B.3, so that derivation, cipher and tag are seen together.
#[test]
fn a_packet_of_counter_mode_comes_out() {
    let key = hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
    let plain = hex("800f1234 decafbad cafebabe abababab abababab abababab abababab");
    let sealed = hex("800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb");
    for (suite, tag) in [(Suite::AesCm128HmacSha1_80, 10), (Suite::AesCm128HmacSha1_32, 4)] {
        let key = Key::new(suite, &key).expect("of its length");
        let mut buffer = [0; 64];
        buffer[..plain.len()].copy_from_slice(&plain);
        let length = Outbound::new(&key).expect("a key").rtp(&mut buffer, plain.len()).expect("room");
        assert_eq!(buffer[..length], sealed[..plain.len() + tag]);
        let opened = Inbound::new(&key).expect("a key").rtp(&mut buffer[..length]).expect("authentic");
        assert_eq!(buffer[..opened.length], plain);
    }
}
