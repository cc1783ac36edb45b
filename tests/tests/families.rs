//! One leg on IPv6 and the other on IPv4, and a listener on either.

use std::time::Duration;

use sim::{ENGINE_V6, World, at_v6};

const SECOND: Duration = Duration::from_secs(1);

/// These phones have IPv6 alone.
fn world(six: &[&str]) -> World {
    World::with(|setup| {
        setup.dual_stack = true;
        for (host, name) in (10..).zip(six) {
            let phone = setup.phone(name);
            (phone.local, phone.proxy) = (at_v6(host, 5060), ENGINE_V6);
        }
    })
}

#[test]
fn a_phone_on_ipv6_talks_to_one_on_ipv4_and_a_listener_on_either_hears_both() {
    for six in [&["anna"][..], &["sue"], &["anna", "sue"]] {
        let mut w = world(six);
        let (out, inn) = w.call_agent();
        for (leg, name) in [(out, "trunk"), (inn, "anna")] {
            let engine = w.call(leg).session().remote_rtp().expect("an address");
            assert_eq!(engine.is_ipv6(), six.contains(&name), "{name} is shown {engine}");
        }
        let (_, ear) = w.listen("anna", "sue");
        w.hears_exactly(ear, &[440, 800]);
        w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
        w.hang_up(out);
        w.until_ended(inn);
        w.until_ended(ear);
    }
}

#[test]
fn a_call_from_ipv6_is_held_and_comes_back() {
    let mut w = world(&["anna"]);
    let (out, inn) = w.call_agent();
    w.hold_with_null_address(inn);
    w.gets_nothing(inn);
    w.resume(inn);
    w.run_for(SECOND);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}
