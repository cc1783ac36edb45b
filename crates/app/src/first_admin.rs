//! The first admin: an engine that no admin could sign in to gets one, and a token that is shown once.

use std::net::SocketAddr;

use api::Api;
use engine::directory::{PhoneSeed, UserSeed};
use engine::view::Role;

use crate::config::Config;

/// Adds an admin where the configuration has none at all.
pub(crate) fn add(config: &mut Config) {
    let users = &mut config.directory.users;
    if users.iter().any(|user| user.role == Role::Admin) {
        return;
    }
    // one by that name may be there with another role
    let is_free = |id: &String| users.iter().all(|user| user.id != *id);
    let names = std::iter::once("admin".to_owned()).chain((2..).map(|n| format!("admin-{n}")));
    let Some(id) = names.into_iter().find(is_free) else { return };
    users.push(UserSeed {
        id,
        name: "Administrator".to_owned(),
        role: Role::Admin,
        groups: None,
        listener_numbers: Vec::new(),
        softphone: None,
        phone: PhoneSeed::default(),
        offer_sendrecv: false,
    });
}

/// Makes a token if no admin could sign in, and says so on standard error; the log never sees it.
pub(crate) fn let_in(api: &Api, config: &Config, at: SocketAddr) {
    let admins: Vec<&str> =
        config.directory.users.iter().filter(|user| user.role == Role::Admin).map(|user| user.id.as_str()).collect();
    let Some(first) = admins.first().filter(|_| !api.someone_may_sign_in(admins.iter().copied())) else { return };
    match api.first_token(first) {
        Ok(token) => {
            eprintln!(
                "medlytt: no admin could sign in, so here is a token of user \"{first}\". It is shown this once:"
            );
            eprintln!("  {token}");
            eprintln!("  {}/#{token}", config.api.url(at));
        }
        Err(error) => eprintln!("medlytt: no admin can sign in, and no token could be made: {error}"),
    }
}
