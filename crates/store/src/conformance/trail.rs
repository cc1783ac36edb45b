//! The audit trail.

use engine::persist::{AuditEntry, Change};
use jiff::Timestamp;

use super::{Fixture, some};
use crate::{AuditQuery, StoreError};

pub(crate) fn entry(n: i64, action: &str) -> AuditEntry {
    AuditEntry {
        at: Timestamp::from_nanosecond(i128::from(n) * 1_000_000_007).unwrap(),
        actor: "paal".to_owned(),
        action: action.to_owned(),
        target: some("req_1"),
        agent: some("anna"),
        details: serde_json::Map::from_iter([
            ("n".to_owned(), serde_json::Value::from(n)),
            ("says".to_owned(), serde_json::Value::from("Æ \"quoted\"\n")),
        ]),
    }
}

pub(crate) fn audit(n: i64, action: &str) -> Change {
    Change::Audit(entry(n, action))
}

pub(crate) fn chains_the_audit_trail<F: Fixture>() {
    let mut fixture = F::new();
    let empty = fixture.store().verify_audit().unwrap();
    assert_eq!((empty.entries, empty.head, empty.broken), (0, "0".repeat(64), None));
    // In one batch, in another, and after the store was opened again.
    fixture.store().apply(&[audit(1, "a"), audit(2, "b")]).unwrap();
    fixture.store().apply(&[audit(3, "c")]).unwrap();
    fixture.reopen();
    fixture.store().apply(&[audit(4, "d")]).unwrap();
    let store = fixture.store();
    let rows = store.audit(&AuditQuery::default()).unwrap().items;
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [4, 3, 2, 1]);
    assert_eq!(rows[0].entry, entry(4, "d"));
    assert!(rows.windows(2).all(|pair| pair[0].prev == pair[1].hash));
    assert_eq!(rows[3].prev, "0".repeat(64));
    let report = store.verify_audit().unwrap();
    assert_eq!((report.entries, &report.head, report.broken), (4, &rows[0].hash, None));
    // The same in every store: what was written, not how it is kept.
    assert_eq!(report.head, "096d374d2678706ce89d2002a6cff4c9c560ec181d46f643ae52b0cc9dda2cbc");
    assert_eq!(store.audit_seq(&rows[2].hash).unwrap(), Some(2));
    for other in ["", "zz", "é", &"0".repeat(64), &rows[2].hash[1..]] {
        assert_eq!(store.audit_seq(other).unwrap(), None);
    }
}

pub(crate) fn finds_audit_entries_by_every_filter<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let mut denied = entry(2, "denied");
    denied.actor = "sip:192.0.2.1".to_owned();
    (denied.target, denied.agent) = (None, None);
    let mut other = entry(3, "request.created");
    (other.target, other.agent) = (some("req_2"), some("bo"));
    let all = [entry(1, "request.created"), denied, other];
    store.apply(&all.clone().map(Change::Audit)).unwrap();
    let base = AuditQuery::default;
    let cases: [(AuditQuery, &[u64]); 9] = [
        (base(), &[3, 2, 1]),
        (AuditQuery { actor: some("paal"), ..base() }, &[3, 1]),
        (AuditQuery { action: some("denied"), ..base() }, &[2]),
        (AuditQuery { target: some("req_2"), ..base() }, &[3]),
        (AuditQuery { agent: some("anna"), ..base() }, &[1]),
        (AuditQuery { from: Some(all[1].at), ..base() }, &[3, 2]),
        (AuditQuery { to: Some(all[1].at), ..base() }, &[1]),
        (AuditQuery { from: Some(all[1].at), to: Some(all[2].at), ..base() }, &[2]),
        (AuditQuery { agent: some("' OR 1 --"), ..base() }, &[]),
    ];
    for (query, wanted) in cases {
        let page = store.audit(&query).unwrap();
        assert_eq!(page.items.iter().map(|row| row.seq).collect::<Vec<_>>(), wanted, "{query:?}");
        assert!(page.items.iter().all(|row| query.matches(&row.entry)));
    }
}

pub(crate) fn pages_the_audit_trail<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    // Past the numbers where text and number sort differently.
    (1..=12).for_each(|n| store.apply(&[audit(n, "a")]).unwrap());
    let mut query = AuditQuery { limit: 5, ..AuditQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = store.audit(&query).unwrap();
        seen.extend(page.items.iter().map(|row| row.seq));
        store.apply(&[audit(99, "later")]).unwrap();
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=12).rev().collect::<Vec<_>>());
    for cursor in ["", "zz", &crate::encode_cursor("audit", "x"), &crate::encode_cursor("calls", "1")] {
        let query = AuditQuery { cursor: some(cursor), ..AuditQuery::default() };
        assert!(matches!(store.audit(&query), Err(StoreError::Cursor)), "{cursor}");
    }
}
