//! Pages of matches as they were answered last: good for as long as the mirror has not changed, and where one waits, for
//! some seconds only: until when its messages are held depends on the time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};

/// Bytes of pages that are kept at the most.
const ROOM: usize = 2 * 1024 * 1024;

/// How long a page is good on which a match waits.
pub(super) const WAITING_FOR: SignedDuration = SignedDuration::from_secs(5);

/// A page of matches, written out.
#[derive(Clone)]
pub(super) struct List {
    /// As JSON.
    pub(super) body: Bytes,
    /// Where the next page is.
    pub(super) link: Option<HeaderValue>,
    /// Until when it is good; none where only the mirror can change it.
    pub(super) until: Option<Timestamp>,
}

impl IntoResponse for List {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let mut response = ([(header::CONTENT_TYPE, json)], self.body).into_response();
        if let Some(link) = self.link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// The pages that were asked for since the mirror changed last.
#[derive(Default)]
pub(super) struct Lists(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    version: Option<i64>,
    bytes: usize,
    /// By the path and query that asked for them.
    by_question: HashMap<String, List>,
}

impl Lists {
    /// The page that answered this question while the mirror was as it is now.
    pub(super) fn get(&self, version: i64, now: Timestamp, question: &Uri) -> Option<List> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.version != Some(version) {
            return None;
        }
        let list = kept.by_question.get(question.path_and_query()?.as_str())?;
        list.until.is_none_or(|until| now < until).then(|| list.clone())
    }

    /// Keeps a page that was read when the mirror had this version, or a later one.
    pub(super) fn keep(&self, version: i64, question: &Uri, list: &List) {
        let Some(question) = question.path_and_query() else { return };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let size = question.as_str().len() + list.body.len();
        if kept.version != Some(version) || kept.bytes + size > ROOM {
            *kept = Kept { version: Some(version), ..Kept::default() };
        }
        if size <= ROOM {
            let replaced = kept.by_question.insert(question.as_str().to_owned(), list.clone());
            kept.bytes -= replaced.map_or(0, |old| question.as_str().len() + old.body.len());
            kept.bytes += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> List {
        List { body: Bytes::from(text.to_owned()), link: None, until: None }
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn body(list: Option<List>) -> Option<Bytes> {
        list.map(|list| list.body)
    }

    #[test]
    fn a_page_is_good_until_the_mirror_changes() {
        let (lists, first) = (Lists::default(), Uri::from_static("/api/v1/matches?limit=1"));
        let other = Uri::from_static("/api/v1/matches?limit=2");
        lists.keep(1, &first, &list("one"));
        lists.keep(1, &other, &list("two"));
        assert_eq!(body(lists.get(1, NOW, &first)).unwrap(), "one");
        assert_eq!(body(lists.get(1, NOW, &other)).unwrap(), "two");
        assert_eq!(body(lists.get(2, NOW, &first)), None);
        lists.keep(2, &other, &list("three"));
        assert_eq!(body(lists.get(2, NOW, &first)), None);
    }

    #[test]
    fn where_a_match_waits_a_page_is_good_for_seconds() {
        let (lists, question) = (Lists::default(), Uri::from_static("/api/v1/matches"));
        let until = NOW.checked_add(WAITING_FOR).ok();
        lists.keep(1, &question, &List { until, ..list("one") });
        assert!(lists.get(1, NOW, &question).is_some());
        assert!(lists.get(1, until.unwrap(), &question).is_none());
        // The next one takes its place.
        lists.keep(1, &question, &List { until, ..list("two") });
        assert_eq!(lists.0.lock().unwrap().bytes, question.path().len() + 3);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let lists = Lists::default();
        for number in 0..100 {
            let question = Uri::try_from(format!("/?{number}")).unwrap();
            lists.keep(1, &question, &list(&"x".repeat(ROOM / 10)));
            assert!(lists.0.lock().unwrap().bytes <= ROOM);
        }
        lists.keep(1, &Uri::from_static("/"), &list(&"x".repeat(ROOM + 1)));
        assert_eq!(body(lists.get(1, NOW, &Uri::from_static("/"))), None);
    }
}
