//! Searches, order, pages, and the read model merged with the archive.

use engine::View;
use engine::persist::{Change, RequestRecord};
use engine::view::{CallState, ListeningState, RequestState};
use store::Store;

use crate::stage::{Stage, agent, call, listening, monitoring, raw};

#[tokio::test]
async fn agents_are_found_by_every_filter() {
    let stage = Stage::new();
    let cases: [(&str, &[&str]); 17] = [
        ("", &["anna", "bo", "cia", "dag"]),
        ("?search=BERG", &["anna"]),
        ("?search=1002", &["bo"]),
        ("?search=skill-c", &["cia"]),
        ("?search=dag", &["dag"]),
        ("?search=%2B4721", &["dag"]),
        ("?search=+4721", &["dag"]),
        ("?search=", &["anna", "bo", "cia", "dag"]),
        ("?search=zz", &[]),
        ("?group=Support", &["anna", "bo"]),
        ("?group=support", &[]),
        ("?connected=true", &["bo"]),
        ("?connected=false", &["anna", "cia", "dag"]),
        ("?logged_on=true", &["anna", "bo", "dag"]),
        ("?logged_on=false", &["cia"]),
        ("?group=Support&connected=true&search=lie", &["bo"]),
        ("?group=&connected=&limit=&cursor=", &["anna", "bo", "cia", "dag"]),
    ];
    for (query, wanted) in cases {
        assert_eq!(stage.get("ada", &format!("/v1/agents{query}")).await.ids(), wanted, "{query}");
    }
}

#[tokio::test]
async fn the_directory_pages_by_name_whatever_comes_and_goes() {
    let stage = Stage::new();
    stage.api.view(View::Agent(agent("a2", "Anna Berg", "1", None)));
    let first = stage.get("ada", "/v1/agents?limit=2").await;
    assert_eq!(first.ids(), ["a2", "anna"], "one name: by id");
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    stage.api.view(View::AgentRemoved("anna".to_owned()));
    stage.api.view(View::Agent(agent("aa", "Aase", "1", None)));
    let second = stage.get("ada", &format!("/v1/agents?limit=2&cursor={cursor}")).await;
    assert_eq!(second.ids(), ["bo", "cia"]);
    let cursor = second.json()["next_cursor"].as_str().unwrap().to_owned();
    let last = stage.get("ada", &format!("/v1/agents?limit=2&cursor={cursor}")).await;
    assert_eq!(last.ids(), ["dag"]);
    assert!(last.json()["next_cursor"].is_null());
}

#[tokio::test]
async fn agents_are_sorted_and_filtered_by_status_and_skill() {
    let stage = Stage::new();
    let cases: [(&str, &[&str]); 11] = [
        ("?sort=name", &["anna", "bo", "cia", "dag"]),
        ("?sort=-name", &["dag", "cia", "bo", "anna"]),
        ("?sort=number", &["dag", "anna", "bo", "cia"]),
        ("?sort=-number", &["cia", "bo", "anna", "dag"]),
        ("?sort=status", &["bo", "anna", "cia", "dag"]),
        ("?sort=-status", &["dag", "cia", "anna", "bo"]),
        ("?status=connected", &["bo"]),
        ("?status=ready,logged-off", &["anna", "cia"]),
        ("?skill=Skill-cia", &["cia"]),
        ("?skill=skill-cia", &[]),
        ("?status=ready&sort=status_since", &["anna"]),
    ];
    for (query, wanted) in cases {
        assert_eq!(stage.get("ada", &format!("/v1/agents{query}")).await.ids(), wanted, "{query}");
    }
    for (query, field) in [("?sort=age", "sort"), ("?status=busy,x", "status"), ("?status=,", "status")] {
        let problem = stage.get("ada", &format!("/v1/agents{query}")).await.problem(422, "invalid-request");
        assert_eq!(problem["field"], field);
    }
}

#[tokio::test]
async fn sorted_pages_go_on_where_they_ended_whatever_comes_and_goes() {
    let stage = Stage::new();
    for sort in ["name", "-name", "number", "-number", "status", "-status", "status_since", "-status_since"] {
        let whole = stage.get("ada", &format!("/v1/agents?sort={sort}")).await.ids();
        let first = stage.get("ada", &format!("/v1/agents?sort={sort}&limit=2")).await;
        let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
        // the last one of the page goes; it is still known where the page ended
        let gone = first.ids()[1].clone();
        let view = stage.get("ada", &format!("/v1/agents/{gone}")).await.json();
        stage.api.view(View::AgentRemoved(gone));
        let second = stage.get("ada", &format!("/v1/agents?sort={sort}&limit=2&cursor={cursor}")).await;
        assert_eq!([first.ids(), second.ids()].concat(), whole, "{sort}");
        assert!(second.json()["next_cursor"].is_null());
        stage.api.view(View::Agent(serde_json::from_value(view).unwrap()));
        let other = if sort == "name" { "-name" } else { "name" };
        let problem = stage.get("ada", &format!("/v1/agents?sort={other}&cursor={cursor}")).await;
        assert_eq!(problem.problem(422, "invalid-request")["field"], "cursor", "a cursor belongs to its order");
    }
}

#[tokio::test]
async fn users_page_too() {
    let stage = Stage::new();
    let first = stage.get("sue", "/v1/users?limit=4").await;
    assert_eq!(first.ids(), ["ada", "all", "platform", "sam"]);
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(stage.get("sue", &format!("/v1/users?cursor={cursor}")).await.ids(), ["sue", "tokenless"]);
}

fn store(stage: &Stage, id: &str, by: &str, state: RequestState) {
    let record = RequestRecord { view: monitoring(id, by, state), failures_in_a_row: 0 };
    stage.store.apply(&[Change::Request(record)]).unwrap();
}

#[tokio::test]
async fn requests_come_from_both_places_newest_first() {
    let stage = Stage::new();
    store(&stage, "req_1", "sue", RequestState::Fulfilled);
    store(&stage, "req_2", "sam", RequestState::Expired);
    store(&stage, "req_3", "sue", RequestState::Waiting);
    stage.api.view(View::Request(monitoring("req_3", "sue", RequestState::Listening)));
    stage.api.view(View::Request(monitoring("req_4", "ada", RequestState::Suspended)));
    let cases: [(&str, &str, &[&str]); 13] = [
        ("ada", "", &["req_4", "req_3", "req_2", "req_1"]),
        ("ada", "?state=active", &["req_4", "req_3"]),
        ("ada", "?state=ended", &["req_2", "req_1"]),
        ("ada", "?state=suspended", &["req_4"]),
        ("ada", "?state=listening", &["req_3"]),
        ("ada", "?state=waiting", &[]),
        ("ada", "?state=expired", &["req_2"]),
        ("ada", "?ordered_by=sue", &["req_3", "req_1"]),
        ("ada", "?agent=bo", &[]),
        ("ada", "?agent=anna&state=active&ordered_by=ada", &["req_4"]),
        ("sue", "", &["req_3", "req_1"]),
        ("sue", "?state=active", &["req_3"]),
        ("sue", "?ordered_by=sam", &[]),
    ];
    for (who, query, wanted) in cases {
        assert_eq!(stage.get(who, &format!("/v1/requests{query}")).await.ids(), wanted, "{who} {query}");
    }
    assert_eq!(stage.get("sue", "/v1/requests/req_3").await.json()["state"], "listening", "the read model wins");
    assert_eq!(stage.get("sue", "/v1/requests/req_1").await.json()["state"], "fulfilled");
}

/// Reads a list to its end; pages may be shorter than asked for, but never longer.
async fn walk(stage: &Stage, path: &str, limit: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for _ in 0..100 {
        let page = stage.get("ada", &format!("{path}limit={limit}&cursor={cursor}")).await;
        let ids = page.ids();
        assert!(ids.len() <= limit);
        seen.extend(ids);
        match page.json()["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return seen,
        }
    }
    panic!("the list has no end");
}

#[tokio::test]
async fn merged_pages_show_everything_once() {
    let stage = Stage::new();
    for n in 0..30 {
        let id = format!("lst_{n:02}");
        // Ended ones in the archive, some also live again under the same id, some live only.
        if n % 3 != 0 {
            stage.store.apply(&[Change::Listening(listening(&id, "sue", ListeningState::Ended))]).unwrap();
        }
        if n % 3 == 0 || n % 5 == 0 {
            stage.api.view(View::Listening(listening(&id, "sue", ListeningState::Live)));
        }
    }
    let all: Vec<String> = (0..30).rev().map(|n| format!("lst_{n:02}")).collect();
    let ended: Vec<String> =
        (0..30).rev().filter(|n| n % 3 != 0 && n % 5 != 0).map(|n| format!("lst_{n:02}")).collect();
    let live: Vec<String> = (0..30).rev().filter(|n| n % 3 == 0 || n % 5 == 0).map(|n| format!("lst_{n:02}")).collect();
    for limit in [1, 2, 3, 7, 29, 30, 31, 200] {
        assert_eq!(walk(&stage, "/v1/listenings?", limit).await, all, "{limit}");
        assert_eq!(walk(&stage, "/v1/listenings?live=false&", limit).await, ended, "{limit}");
        assert_eq!(walk(&stage, "/v1/listenings?live=true&", limit).await, live, "{limit}");
    }
}

#[tokio::test]
async fn the_archive_is_searched() {
    let stage = Stage::new();
    let mut other = listening("lst_2", "ada", ListeningState::Ended);
    other.caller_number = Some("+4622222222".to_owned());
    other.ringing_at = Some("2026-02-01T10:00:00Z".parse().unwrap());
    stage
        .store
        .apply(&[Change::Listening(listening("lst_1", "sue", ListeningState::Ended)), Change::Listening(other)])
        .unwrap();
    stage.api.view(View::Listening(listening("lst_3", "sue", ListeningState::Live)));
    let cases: [(&str, &[&str]); 12] = [
        ("?caller=%2B4755", &["lst_3", "lst_1"]),
        ("?caller=+4622", &["lst_2"]),
        ("?caller=2222", &["lst_2"]),
        ("?listener=sue", &["lst_3", "lst_1"]),
        ("?ordered_by=ada", &["lst_2"]),
        ("?agent=anna", &["lst_3", "lst_2", "lst_1"]),
        ("?agent=bo", &[]),
        ("?from=2026-01-15T00:00:00Z", &["lst_2"]),
        ("?to=2026-01-15T00:00:00Z", &["lst_3", "lst_1"]),
        ("?from=2026-02-01T11:00:00%2B01:00&to=2026-02-01T10:00:01Z", &["lst_2"]),
        ("?from=2026-02-01T11:00:01+01:00", &[]),
        ("?live=true&listener=sue&to=2026-01-15T00:00:00Z", &["lst_3"]),
    ];
    for (query, wanted) in cases {
        assert_eq!(stage.get("ada", &format!("/v1/listenings{query}")).await.ids(), wanted, "{query}");
    }
    assert_eq!(stage.get("sue", "/v1/listenings/lst_1").await.json()["id"], "lst_1");
}

#[tokio::test]
async fn calls_are_live_or_ended() {
    let stage = Stage::new();
    stage.api.view(View::Call(call("call_1", Some("anna"), CallState::Up)));
    stage.api.view(View::Call(call("call_2", Some("bo"), CallState::Ended)));
    stage
        .store
        .apply(&[
            Change::Call(call("call_0", Some("anna"), CallState::Ended)),
            Change::Call(call("call_2", Some("bo"), CallState::Ended)),
        ])
        .unwrap();
    assert_eq!(stage.get("ada", "/v1/calls").await.ids(), ["call_1"]);
    assert_eq!(stage.get("ada", "/v1/calls?ended=false").await.ids(), ["call_1"]);
    assert_eq!(stage.get("ada", "/v1/calls?ended=true").await.ids(), ["call_2", "call_0"]);
    assert_eq!(stage.get("ada", "/v1/calls?ended=true&agent=anna").await.ids(), ["call_0"]);
    assert_eq!(stage.get("ada", "/v1/calls/call_0").await.json()["state"], "ended");
    stage.api.view(View::CallRemoved("call_2".to_owned()));
    assert_eq!(walk(&stage, "/v1/calls?ended=true&", 1).await, ["call_2", "call_0"]);
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let stage = Stage::new();
    stage.api.view(View::Call(call("call_1", Some("anna"), CallState::Up)));
    stage.api.view(View::Request(monitoring("req_1", "ada", RequestState::Waiting)));
    stage.api.view(View::Listening(listening("lst_1", "ada", ListeningState::Live)));
    for path in
        ["/v1/agents/anna", "/v1/calls/call_1", "/v1/requests/req_1", "/v1/listenings/lst_1", "/v1/users/sue", "/v1/me"]
    {
        let etag = stage.get("ada", path).await.header("etag").unwrap().to_owned();
        for tag in [etag.clone(), format!("W/{etag}"), "*".to_owned(), format!("\"x\", {etag}")] {
            let got = stage.send(raw("ada", "GET", path, None, &[("If-None-Match", &tag)])).await;
            assert_eq!(
                (got.status.as_u16(), got.body.len(), got.header("etag")),
                (304, 0, Some(etag.as_str())),
                "{path}"
            );
        }
        assert_eq!(stage.send(raw("ada", "GET", path, None, &[("If-None-Match", "\"old\"")])).await.status, 200);
    }
    let etag = stage.get("ada", "/v1/agents/anna").await.header("etag").unwrap().to_owned();
    let mut anna = agent("anna", "Anna Berg", "1001", Some("Support"));
    anna.calls.push("call_1".to_owned());
    stage.api.view(View::Agent(anna));
    assert_eq!(stage.send(raw("ada", "GET", "/v1/agents/anna", None, &[("If-None-Match", &etag)])).await.status, 200);
}
