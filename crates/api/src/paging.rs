//! Lists in pages: by name for the directory; newest first, read model and archive merged, for the rest.

use std::collections::HashSet;
use std::sync::Arc;

use engine::view::{AgentView, CallView, ListeningView, RequestView, UserView};
use serde::Serialize;
use store::{Page, StoreError, decode_cursor, encode_cursor};
use utoipa::ToSchema;

use crate::params::PageParams;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The page.
    pub(crate) items: Vec<T>,
    /// For `cursor`, to go on; `null`: this was the last page.
    pub(crate) next_cursor: Option<String>,
}

/// Something with an id.
pub(crate) trait Resource: Clone {
    fn id(&self) -> &str;
}

/// Something of the directory.
pub(crate) trait Named: Clone {
    fn key(&self) -> (String, &str);
}

macro_rules! resources {
    ($($view:ty),*) => { $(impl Resource for $view { fn id(&self) -> &str { &self.id } })* };
}
resources!(CallView, RequestView, ListeningView);

macro_rules! named {
    ($($view:ty),*) => { $(impl Named for $view { fn key(&self) -> (String, &str) { (self.name.to_lowercase(), &self.id) } })* };
}
named!(AgentView, UserView);

/// A page by name, then id.
pub(crate) fn by_name<T: Named>(kind: &str, items: Vec<Arc<T>>, page: &PageParams) -> Result<List<Arc<T>>, StoreError> {
    by_key(kind, items, page, false, |item| item.key().0)
}

/// A page in the order of a key, then id; or the other way round. What comes and goes meanwhile moves nothing else.
pub(crate) fn by_key<T: Named>(
    kind: &str,
    items: Vec<Arc<T>>,
    page: &PageParams,
    descending: bool,
    key: impl Fn(&T) -> String,
) -> Result<List<Arc<T>>, StoreError> {
    let after = page.cursor.as_deref().map(|cursor| decode_cursor(kind, cursor)).transpose()?;
    let after = after.as_deref().map(|after| after.rsplit_once('\n').ok_or(StoreError::Cursor)).transpose()?;
    let order = |a: (&str, &str), b: (&str, &str)| if descending { b.cmp(&a) } else { a.cmp(&b) };
    let mut keyed: Vec<(String, Arc<T>)> = items.into_iter().map(|item| (key(&item), item)).collect();
    if let Some(after) = after {
        keyed.retain(|(key, item)| order((key, item.key().1), after).is_gt());
    }
    keyed.sort_by(|(a_key, a), (b_key, b)| order((a_key, a.key().1), (b_key, b.key().1)));
    let more = keyed.len() > page.limit;
    keyed.truncate(page.limit);
    let last = keyed.last().filter(|_| more);
    let next_cursor = last.map(|(key, item)| encode_cursor(kind, &format!("{key}\n{}", item.key().1)));
    Ok(List { items: keyed.into_iter().map(|(_, item)| item).collect(), next_cursor })
}

/// A page of live resources, newest first.
pub(crate) fn live<T: Resource>(kind: &str, items: Vec<Arc<T>>, page: &PageParams) -> Result<List<Arc<T>>, StoreError> {
    merged(kind, items, &HashSet::new(), Page { items: Vec::new(), next_cursor: None }, page)
}

/// A page of live and stored resources, newest first. `live` are those of the read model that match, `known` all ids
/// that the read model has: it wins over the archive, also where its resource no longer matches.
///
/// The archive's page has a lower edge where it was cut; what is live below it belongs to a later page. So a page can be
/// shorter than its limit, but nothing is left out or shown twice.
pub(crate) fn merged<T: Resource>(
    kind: &str,
    mut items: Vec<Arc<T>>,
    known: &HashSet<String>,
    stored: Page<T>,
    page: &PageParams,
) -> Result<List<Arc<T>>, StoreError> {
    let below = page.cursor.as_deref().map(|cursor| decode_cursor(kind, cursor)).transpose()?;
    let edge = stored.next_cursor.as_deref().map(|cursor| decode_cursor(kind, cursor)).transpose()?;
    items.retain(|item| {
        below.as_deref().is_none_or(|below| item.id() < below) && edge.as_deref().is_none_or(|edge| item.id() >= edge)
    });
    items.extend(stored.items.into_iter().filter(|item| !known.contains(item.id())).map(Arc::new));
    items.sort_by(|a, b| b.id().cmp(a.id()));
    let cut = items.len() > page.limit;
    items.truncate(page.limit);
    let next = if cut { items.last().map(|item| item.id().to_owned()) } else { edge };
    Ok(List { items, next_cursor: next.map(|id| encode_cursor(kind, &id)) })
}
