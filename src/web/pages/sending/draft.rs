//! The draft: a form for what a comment in GitLab holds. An edit made there meanwhile is shown, not written over.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::error_words::Complaint;
use super::super::forms::{Fields, Member, Posted};
use super::super::match_page::no_match;
use super::super::visit::{Named, Visit};
use super::{MatchAndDraft, about, complaints, letter, read, recipient, why, with_pause};
use crate::domain::history::Through;
use crate::domain::posted_match::clean_line;
use crate::domain::sending::DraftContent;
use crate::outgoing::{DraftInput, OutgoingError};

/// What the form is shown with.
#[derive(Default)]
struct Shown {
    /// What somebody typed; none where the form shows the draft.
    typed: Option<DraftContent>,
    /// What to say above it.
    said: &'static str,
    detail: String,
    /// What is wrong, by field.
    wrong: BTreeMap<String, Vec<Complaint>>,
}

/// Shows the draft.
pub(super) async fn page(Member { visit }: Member, Named(iid): Named) -> Response {
    let read = match read(&visit, &iid).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let said = match visit.query("said") {
        "saved" => "saved",
        "sent" => "sent",
        _ => "",
    };
    show(&visit, StatusCode::OK, &read, Shown { said, ..Shown::default() })
}

fn show(visit: &Visit, status: StatusCode, read: &MatchAndDraft, shown: Shown) -> Response {
    let there = read.draft.as_ref().map(|draft| &draft.content);
    let conflict = shown.said == "changed";
    let fields = shown.typed.or_else(|| there.cloned()).unwrap_or_else(|| DraftContent {
        subject: clean_line(&read.record.job.title),
        ..DraftContent::default()
    });
    let context = json!({
        "match": about(visit, &read.record),
        "exists": read.draft.is_some(),
        "broken": read.broken,
        // Saving once more means the draft that is shown now.
        "etag": if read.broken.is_some() { "*" } else { read.draft.as_ref().map_or("", |draft| &draft.etag) },
        "fields": form(&fields),
        "letter": there.map(letter),
        "theirs": there.filter(|_| conflict).map(form),
        "said": shown.said,
        "detail": Complaint::of(&shown.detail),
        "wrong": shown.wrong,
        // Only a question that was answered already knows them.
        "twins": [],
        "reason": "",
    });
    visit.page(status, "draft", context)
}

/// A draft as the fields of the form.
fn form(content: &DraftContent) -> Value {
    json!({
        "to": content.to.as_deref().unwrap_or_default(), "subject": content.subject, "body": content.body,
        "attachments": content.attachments.join("\n"),
    })
}

/// Saves the draft, and goes on to sending where that was asked for.
pub(super) async fn post(Named(iid): Named, posted: Posted) -> Response {
    let (visit, fields) = (&posted.visit, &posted.fields);
    let Ok(number) = iid.parse::<u64>() else { return no_match(visit, None) };
    let typed = typed(fields);
    let etag = Some(fields.one("etag")).filter(|etag| !etag.is_empty());
    let input = DraftInput {
        to: typed.to.clone(),
        subject: typed.subject.clone(),
        body: typed.body.clone(),
        attachments: typed.attachments.clone(),
    };
    let put = visit.web.outgoing().put_draft(number, input, etag, &posted.session.name, Through::Page);
    let to_be_sent = fields.one("then") == "send";
    let error = match put.await {
        Ok(draft) if to_be_sent && draft.content.to.is_none() => {
            return match read(visit, &iid).await {
                Ok(read) => show(visit, StatusCode::UNPROCESSABLE_ENTITY, &read, without_recipient()),
                Err(response) => response,
            };
        }
        Ok(_) if to_be_sent => return visit.go(&format!("/matches/{number}/send")),
        Ok(_) => return visit.go(&format!("/matches/{number}/draft?said=saved")),
        Err(error) => error,
    };
    let in_log = crate::domain::masked::masked(&error.to_string());
    tracing::info!(iid = number, error = %in_log, "a draft was not taken from the page");
    let (status, said, detail) = why(&error);
    let mut wrong = match &error {
        OutgoingError::Invalid(wrong) => complaints(wrong),
        _ => BTreeMap::new(),
    };
    match read(visit, &iid).await {
        Ok(read) => {
            if to_be_sent && !wrong.is_empty() && recipient(&read.record, Some(&typed)).is_none() {
                wrong.append(&mut without_recipient().wrong);
            }
            let shown = Shown { typed: Some(typed), said, detail, wrong };
            with_pause(show(visit, status, &read, shown), &error)
        }
        Err(response) => response,
    }
}

/// What is said where a draft is to be sent and names nobody: it is saved, and goes no further.
fn without_recipient() -> Shown {
    let complaint = Complaint::new("no_recipient", "is missing: whom shall it go to?");
    let wrong = [("to".to_owned(), vec![complaint])].into_iter().collect();
    Shown { said: "to_nobody", wrong, ..Shown::default() }
}

fn typed(fields: &Fields) -> DraftContent {
    let to = fields.one("to").trim();
    let lines = fields.one("attachments").lines().map(str::trim).filter(|line| !line.is_empty());
    DraftContent {
        to: (!to.is_empty()).then(|| to.to_owned()),
        subject: fields.one("subject").trim().to_owned(),
        // Browsers end lines as mails do.
        body: fields.one("body").replace("\r\n", "\n"),
        attachments: lines.map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_a_draft() {
        let body = "to=+clara%40agency.example+&subject=Architect&body=Dear+Clara%2C%0D%0A%0D%0Ahello&attachments=cv.pdf%0D%0A%0D%0A+docs%2Fb.pdf";
        let draft = typed(&Fields::parse(body.as_bytes()));
        assert_eq!(draft.to.as_deref(), Some("clara@agency.example"));
        assert_eq!((draft.subject.as_str(), draft.body.as_str()), ("Architect", "Dear Clara,\n\nhello"));
        assert_eq!(draft.attachments, ["cv.pdf", "docs/b.pdf"]);
    }
}
