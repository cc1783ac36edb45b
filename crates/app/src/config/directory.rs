//! `[[trunk]]`, `[[agent]]` and `[[user]]`.

use std::collections::HashMap;

use engine::directory::{AgentSeed, PhoneSeed, Seed, Srtp, TrunkSeed, UserSeed};
use engine::view::Role;

use super::section::{Given, Section};
use super::values::{Reach, parse_name, parse_network, parse_sip_uri, parse_token_hash};

/// Reads the directory and the users' secrets.
pub(super) fn directory(root: &Section<'_>, reach: Reach<'_>) -> (Seed, Vec<api::Credential>) {
    let mut names = Names { reach, taken: HashMap::new() };
    let trunks = root.tables("trunk", "name").iter().filter_map(|section| trunk(section, &mut names)).collect();
    let agents: Vec<AgentSeed> =
        root.tables("agent", "id").iter().filter_map(|section| agent(section, &mut names)).collect();
    let mut users = Vec::new();
    let mut credentials: Vec<api::Credential> = Vec::new();
    for section in root.tables("user", "id") {
        if let Some((seed, credential)) = user(&section, &mut names, &agents) {
            let same = |other: &&api::Credential| {
                other.token_sha256 == credential.token_sha256 && credential.token_sha256.is_some()
            };
            if let Some(other) = credentials.iter().find(same) {
                section.problem("token_hash", format!("is user {}'s token, too", other.user));
            }
            users.push(seed);
            credentials.push(credential);
        }
    }
    (Seed { agents, users, trunks, routes: Vec::new() }, credentials)
}

/// What may stand only once in a configuration, and who has it; and how hosts are resolved.
struct Names<'r> {
    reach: Reach<'r>,
    taken: HashMap<(Space, String), String>,
}

/// Where a name must be the only one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Space {
    Trunk,
    /// What can be dialled: agents' ids and numbers, softphones.
    Dialled,
    User,
}

impl Names<'_> {
    /// Takes a name; the same owner may take it twice.
    fn take(&mut self, space: Space, given: &Given<'_, String>, owner: &str) {
        match self.taken.entry((space, given.value.clone())) {
            std::collections::hash_map::Entry::Occupied(other) => {
                given.problem(format!("\"{}\" is taken by {}", given.value, other.get()));
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(owner.to_owned());
            }
        }
    }
}

fn trunk(section: &Section<'_>, names: &mut Names<'_>) -> Option<TrunkSeed> {
    let name = section.required("name");
    if let Some(name) = &name {
        names.take(Space::Trunk, name, "another trunk");
    }
    let place = section.required("uri").and_then(|given| given.parse(|text| parse_sip_uri(text, names.reach)));
    let allow = section
        .strings("allow")
        .map(|given| given.iter().filter_map(|network| network.parse(|text| parse_network(text))).collect());
    if let Some(transfer) = section.string("transfer") {
        let _ = transfer.parse(|text| match text.as_str() {
            "local" => Ok(()),
            "relay" => Err("relay: not in this version".to_owned()),
            _ => Err(format!("must be \"local\", not \"{text}\"")),
        });
    }
    let nat = section.boolean("nat").is_some_and(|given| given.value);
    let srtp = srtp(section);
    let offer_sendrecv = listener_offer(section);
    for later in ["username", "password", "client_certificate", "register"] {
        section.not_in_this_version(later);
    }
    section.finish();
    let (name, place) = (name?.value, place?);
    let mut host =
        place.uri.port().map_or_else(|| place.uri.host().to_owned(), |port| format!("{}:{port}", place.uri.host()));
    if let Some(transport) = place.uri.param("transport") {
        host.push_str(&format!(";transport={}", transport.to_ascii_lowercase()));
    }
    // Without a list the trunk's own address may call, and nobody else.
    let own = vec![(place.addr.ip(), if place.addr.is_ipv4() { 32 } else { 128 })];
    Some(TrunkSeed { name, host, next_hop: place.addr, allow: allow.unwrap_or(own), nat, srtp, offer_sendrecv })
}

fn agent(section: &Section<'_>, names: &mut Names<'_>) -> Option<AgentSeed> {
    let id = name(section, "id");
    let number = name(section, "number");
    if let Some(id) = &id {
        let owner = format!("agent {}", id.value);
        names.take(Space::Dialled, id, &owner);
        if let Some(number) = number.as_ref().filter(|number| number.value != id.value) {
            names.take(Space::Dialled, number, &owner);
        }
    }
    let full_name = section.required("name").map(|given| given.value);
    let phone = phone(section, names);
    if phone.contact.is_none() && phone.password.is_none() && !section.has("contact") && !section.has("password") {
        section.warning("has neither contact nor password: no phone can be reached");
    }
    let group = section.filled("group").map(|given| given.value);
    let skills = section.strings("skills").unwrap_or_default().into_iter().map(|given| given.value).collect();
    let monitorable = section.boolean("monitorable").is_none_or(|given| given.value);
    section.finish();
    Some(AgentSeed { id: id?.value, name: full_name?, number: number?.value, phone, group, skills, monitorable })
}

fn user(section: &Section<'_>, names: &mut Names<'_>, agents: &[AgentSeed]) -> Option<(UserSeed, api::Credential)> {
    let id = name(section, "id");
    if let Some(id) = &id {
        names.take(Space::User, id, "another user");
    }
    let full_name = section.required("name").map(|given| given.value);
    let role = role(section);
    let listener_numbers =
        section.strings("listener_numbers").unwrap_or_default().into_iter().map(|given| given.value).collect();
    let groups = section.strings("groups").map(|groups| groups.into_iter().map(|given| given.value).collect());
    let token_sha256 = section.string("token_hash").and_then(|given| given.parse(|text| parse_token_hash(text)));
    let password_hash = section.string("password_hash").and_then(|given| {
        given.parse(|text| match text.starts_with("$argon2id$") {
            true => Ok(text.clone()),
            false => Err("must be what `medlytt hash-password` prints ($argon2id$…)".to_owned()),
        })
    });
    let phone = phone(section, names);
    let softphone = softphone(section, names, agents, id.as_ref().map_or("", |id| &id.value));
    let offer_sendrecv = listener_offer(section);
    section.finish();
    let id = id?.value;
    let credential = api::Credential { user: id.clone(), token_sha256, password_hash };
    Some((
        UserSeed { id, name: full_name?, role: role?, groups, listener_numbers, softphone, phone, offer_sendrecv },
        credential,
    ))
}

/// The SIP user of a user's phone. It may be an agent's, whose phone then is the user's, too.
fn softphone(section: &Section<'_>, names: &mut Names<'_>, agents: &[AgentSeed], user: &str) -> Option<String> {
    let keys = ["contact", "password"];
    let Some(given) = section.string("softphone") else {
        for key in keys.into_iter().filter(|key| section.has(key)) {
            section.problem(key, "is for a softphone: name it with `softphone = \"USER\"`");
        }
        return None;
    };
    let softphone = given.parse(|text| parse_name(text))?;
    if let Some(agent) = agents.iter().find(|agent| agent.id == softphone) {
        for key in keys.into_iter().filter(|key| section.has(key)) {
            section.problem(key, format!("belongs to agent {}, whose phone this is", agent.id));
        }
    } else {
        names.take(Space::Dialled, &given, &format!("user {user}'s softphone"));
        if !keys.iter().any(|key| section.has(key)) {
            section.warning("the softphone has neither contact nor password: it cannot be reached");
        }
    }
    Some(softphone)
}

fn role(section: &Section<'_>) -> Option<Role> {
    if !section.has("role") {
        let _ = section.required("role");
        return None;
    }
    section
        .choice("role", &[("admin", Role::Admin), ("supervisor", Role::Supervisor), ("integrator", Role::Integrator)])
}

fn phone(section: &Section<'_>, names: &Names<'_>) -> PhoneSeed {
    let contact = section.string("contact").and_then(|given| given.parse(|text| parse_sip_uri(text, names.reach)));
    PhoneSeed {
        contact: contact.map(|place| (place.uri.as_str().to_owned(), place.addr)),
        password: section.filled("password").map(|given| given.value),
        nat: section.boolean("nat").is_some_and(|given| given.value),
        srtp: srtp(section),
    }
}

fn srtp(section: &Section<'_>) -> Srtp {
    section
        .choice("srtp", &[("off", Srtp::Off), ("offer", Srtp::Offer), ("require", Srtp::Require)])
        .unwrap_or_default()
}

fn listener_offer(section: &Section<'_>) -> bool {
    section.choice("listener_offer", &[("sendonly", false), ("sendrecv", true)]).unwrap_or(false)
}

/// A required id or number.
fn name<'a>(section: &Section<'a>, key: &'static str) -> Option<Given<'a, String>> {
    let given = section.required(key)?;
    given.parse(|text| parse_name(text))?;
    Some(given)
}
