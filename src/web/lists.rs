//! Pages of matches as they were answered last: good for as long as the mirror has not changed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};

/// Bytes of pages that are kept at the most.
const ROOM: usize = 2 * 1024 * 1024;

/// A page of matches, written out.
#[derive(Clone)]
pub(super) struct List {
    /// As JSON.
    pub(super) body: Bytes,
    /// Where the next page is.
    pub(super) link: Option<HeaderValue>,
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
    pub(super) fn get(&self, version: i64, question: &Uri) -> Option<List> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.version != Some(version) {
            return None;
        }
        kept.by_question.get(question.path_and_query()?.as_str()).cloned()
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
            kept.bytes += size;
            kept.by_question.insert(question.as_str().to_owned(), list.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> List {
        List { body: Bytes::from(text.to_owned()), link: None }
    }

    fn body(list: Option<List>) -> Option<Bytes> {
        list.map(|list| list.body)
    }

    #[test]
    fn a_page_is_good_until_the_mirror_changes() {
        let (lists, first) = (Lists::default(), Uri::from_static("/api/v1/matches?limit=1"));
        let other = Uri::from_static("/api/v1/matches?limit=2");
        lists.keep(1, &first, &list("one"));
        lists.keep(1, &other, &list("two"));
        assert_eq!(body(lists.get(1, &first)).unwrap(), "one");
        assert_eq!(body(lists.get(1, &other)).unwrap(), "two");
        assert_eq!(body(lists.get(2, &first)), None);
        lists.keep(2, &other, &list("three"));
        assert_eq!(body(lists.get(2, &first)), None);
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
        assert_eq!(body(lists.get(1, &Uri::from_static("/"))), None);
    }
}
