//! The OpenAPI 3.1 document, from the handlers and the engine's views.

use serde_json::{Value, json};
use utoipa::OpenApi;

use crate::contract;
use crate::examples::EXAMPLES;
use crate::routes::{
    agents, audit, bulk, calls, groups, listenings, operations, page, people, player, requests, session, tokens,
    webhooks,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Medlytt control API", description = "Silent monitoring for contact centres. Times are RFC 3339 in UTC; lists page by `cursor`; errors are RFC 9457 problems with a stable `code`."),
    paths(
        requests::order, requests::list, requests::one, requests::change, requests::resume, requests::delete,
        agents::list, agents::one, agents::upsert, agents::delete, agents::status, bulk::put, groups::groups, groups::skills,
        calls::list, calls::one, calls::shield,
        listenings::list, listenings::one, listenings::hang_up, listenings::change, listenings::watch_levels,
        player::start, player::restart, player::stop,
        operations::events, operations::event_log, people::list, people::one, people::me, operations::status, audit::list,
        webhooks::list, webhooks::create, webhooks::one, webhooks::change, webhooks::delete, webhooks::test, webhooks::rotate,
        webhooks::deliveries, webhooks::retry,
        operations::healthz, operations::readyz, operations::metrics, operations::openapi, page::page, page::asset, page::icon,
        session::sign_in, session::shown, session::sign_out, session::sign_out_everywhere,
        tokens::list, tokens::make, tokens::revoke,
    ),
    components(schemas(
        crate::problem::Problem, crate::events::EventData<'_>, crate::events::ResyncData<'_>, crate::events::LoggedEvent<'_>, agents::Sort, requests::StateFilter, crate::LevelsView,
        engine::view::EventName, engine::view::EventBody, engine::view::EndReason,
    ))
)]
struct Document;

/// What can be read without a token.
const OPEN: [&str; 7] = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/", "/assets/{file}", "/icon.svg"];

/// What the paths are about.
const TAGS: [(&str, &str); 8] = [
    ("requests", "Orders: monitor this agent, for this listener, for N calls and/or until a time"),
    ("agents", "The directory with live status, its groups and skills"),
    ("calls", "Calls, live and ended, and the card-data shield"),
    ("listenings", "Who listens, who listened, and the player"),
    ("events", "What happens, as it happens or in pages"),
    ("people", "Users, without their secrets"),
    ("operations", "Health, figures, the page and this document"),
    ("audit", "Who did what to whom"),
];

/// The document as JSON.
pub(crate) fn document() -> String {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    document["info"]["license"] = json!({"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"});
    document["servers"] = json!([{"url": "/", "description": "Where this document comes from"}]);
    document["tags"] =
        TAGS.iter().map(|(name, description)| json!({"name": name, "description": description})).collect();
    document["security"] = json!([{"token": []}, {"session": []}]);
    document["components"]["securitySchemes"] = json!({
        "token": {"type": "http", "scheme": "bearer", "description": "An API token: `Authorization: Bearer TOKEN`"},
        "session": {
            "type": "apiKey", "in": "cookie", "name": "medlytt_session",
            "description": "The page's session; requests that change something also need its CSRF token in the header X-CSRF-Token",
        },
    });
    let lists = [("types", "EventName"), ("status", "AgentStatus")]
        .map(|(parameter, of)| (parameter, contract::names(&document["components"]["schemas"][of]["enum"])));
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if operation.is_object() {
                contract::lists(operation, &lists);
                complete(path, method, operation);
            }
        }
    }
    let schemas = &mut document["components"]["schemas"];
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        contract::schema(name, schema);
    }
    schemas["EventData"] = contract::event("The `data:` of an event, with one of the resources.", false);
    schemas["LoggedEvent"] = contract::event("One event of a page, with one of the resources.", true);
    schemas["EventBody"] = contract::event("What every event has, with one of the resources.", false);
    for (name, example) in EXAMPLES {
        schemas[name]["examples"] = json!([serde_json::from_str::<Value>(example).unwrap_or_default()]);
    }
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// What every operation has: a name of its own, problems, headers; and the open ones no security.
fn complete(path: &str, method: &str, operation: &mut Value) {
    // A handler's name is only unique within its resource.
    if let (Some(tag), Some(name)) = (operation["tags"][0].as_str(), operation["operationId"].as_str()) {
        operation["operationId"] = json!(format!("{tag}_{name}"));
    }
    let is_open = OPEN.contains(&path);
    if is_open {
        operation["security"] = json!([]);
    }
    contract::complete(path, method, operation, is_open);
}
