//! A mail as it goes over the wire. The same mail twice differs in nothing but its date, and is known as a repeat by its
//! Message-ID.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Attachment, Body, Mailbox, MultiPart, MultiPartKind, SinglePart};
use sha2::{Digest as _, Sha256};

use crate::domain::hex;

/// What a mail is made of.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Who writes.
    pub from: Mailbox,
    /// To whom.
    pub to: Mailbox,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<Mailbox>,
    /// One line.
    pub subject: String,
    /// For those who read HTML.
    pub html: String,
    /// For everybody else.
    pub text: String,
    /// With angle brackets; a repeat of the mail has the same.
    pub message_id: String,
    /// The mails that this one belongs to, with angle brackets, the nearest last.
    pub references: Vec<String>,
    /// The name of the list that it goes to: what filters sort by. None for a mail to one person from another.
    pub list_id: Option<String>,
    /// When it was written.
    pub date: Timestamp,
    /// Files that go with it.
    pub attachments: Vec<File>,
}

/// A file that goes with a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name, without a path.
    pub name: String,
    /// Its content type, such as `application/pdf`.
    pub content_type: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// RFC 2919.
#[derive(Clone)]
struct ListId(String);

impl Header for ListId {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("List-Id")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), self.0.clone())
    }
}

/// A subject that readers show as it was written. What looks like an encoded word (RFC 2047) in it would be decoded by
/// them, to other letters than those that stand elsewhere, line ends included: encoded by us, it is decoded once.
#[derive(Clone)]
struct Subject(String);

/// Bytes in an encoded word: with its frame and the header's name they fit into a line.
const WORD: usize = 39;

impl Header for Subject {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Subject")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        if !self.0.contains("=?") {
            return HeaderValue::new(Self::name(), self.0.clone());
        }
        let mut words = vec![String::new()];
        for c in self.0.chars() {
            match words.last_mut() {
                Some(word) if word.len() + c.len_utf8() <= WORD => word.push(c),
                _ => words.push(c.to_string()),
            }
        }
        let encoded: Vec<String> =
            words.iter().map(|word| format!("=?utf-8?b?{}?=", STANDARD.encode(word))).collect();
        HeaderValue::dangerous_new_pre_encoded(Self::name(), self.0.clone(), encoded.join("\r\n "))
    }
}

/// RFC 3834: a machine wrote it, so that no other machine answers that it is on holiday.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

impl Mail {
    /// The message.
    ///
    /// # Errors
    ///
    /// Where a part of it cannot be put into a mail: a content type that is none.
    pub fn compose(&self) -> anyhow::Result<Message> {
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(self.to.clone())
            .header(Subject(self.subject.clone()))
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(self.date.as_second().unsigned_abs()))
            .message_id(Some(self.message_id.clone()));
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(reply_to.clone());
        }
        if let Some(nearest) = self.references.last() {
            message = message.in_reply_to(nearest.clone()).references(self.references.join(" "));
        }
        if let Some(list) = &self.list_id {
            message = message.header(ListId(list.clone())).header(AutoSubmitted);
        }
        let texts = MultiPart::builder()
            .kind(MultiPartKind::Alternative)
            .boundary(self.boundary("texts"))
            .singlepart(SinglePart::plain(self.text.clone()))
            .singlepart(SinglePart::html(self.html.clone()));
        if self.attachments.is_empty() {
            return Ok(message.multipart(texts)?);
        }
        let mut all =
            MultiPart::builder().kind(MultiPartKind::Mixed).boundary(self.boundary("all")).multipart(texts);
        for file in &self.attachments {
            let content_type = ContentType::parse(&file.content_type)?;
            // Always Base64: as text, line ends would be changed on the way.
            let content = Body::new_with_encoding(file.content.clone(), ContentTransferEncoding::Base64)
                .unwrap_or_else(Body::new);
            all = all.singlepart(Attachment::new(file.name.clone()).body(content, content_type));
        }
        Ok(message.multipart(all)?)
    }

    /// Derived from the mail, where a random one would make each copy another.
    fn boundary(&self, part: &str) -> String {
        let hash = Sha256::new().chain_update(part).chain_update(&self.message_id).finalize();
        hex(&hash[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> Mail {
        Mail {
            from: "Vorhölle <jobs@example.com>".parse().unwrap(),
            to: "anna@example.com".parse().unwrap(),
            reply_to: None,
            subject: "Grüße\r\nBcc: all@example.com".to_owned(),
            html: "<p>x</p>".to_owned(),
            text: "x\n.\ny".to_owned(),
            message_id: "<match.1@example.com>".to_owned(),
            references: vec!["<a@example.com>".to_owned(), "<b@example.com>".to_owned()],
            list_id: Some("<jobs.example.com>".to_owned()),
            date: "2026-11-23T08:00:00Z".parse().unwrap(),
            attachments: vec![File {
                name: "Lebenslauf Übersicht.pdf".to_owned(),
                content_type: "application/pdf".to_owned(),
                content: vec![0, 1, 2],
            }],
        }
    }

    #[test]
    fn the_same_mail_has_the_same_bytes_and_no_line_breaks_into_its_headers() {
        let bytes = mail().compose().unwrap().formatted();
        assert_eq!(bytes, mail().compose().unwrap().formatted());
        let text = String::from_utf8(bytes).unwrap();
        let headers = text.split("\r\n\r\n").next().unwrap();
        assert!(!headers.contains("\r\nBcc:"), "{headers}");
        for line in [
            "Message-ID: <match.1@example.com>",
            "In-Reply-To: <b@example.com>",
            "References: <a@example.com> <b@example.com>",
            "List-Id: <jobs.example.com>",
            "Auto-Submitted: auto-generated",
            "Date: Mon, 23 Nov 2026 08:00:00 +0000",
        ] {
            assert!(headers.contains(line), "{line} in\n{headers}");
        }
        assert!(text.contains("AAEC"), "the attachment");
    }

    #[test]
    fn a_subject_that_holds_encoded_words_is_read_as_it_was_written() {
        let long = "ä".repeat(200);
        for subject in [
            "[97 %] =?utf-8?B?QmVzdCBqb2I=?= – Acme",
            "=?utf-8?q?=0D=0ABcc:_all@example.com?=",
            "x =?utf-8?q?a?=\t=?utf-8?q?b?= \r\nBcc: all@example.com",
            &format!("=?utf-8?q?a?= {long}"),
            &format!("=?{}", "x".repeat(800)),
            "a =? b",
            "Grüße",
            "plain",
        ] {
            let bytes = Mail { subject: subject.to_owned(), ..mail() }.compose().unwrap().formatted();
            let read = mail_parser::MessageParser::default().parse(&bytes).unwrap();
            assert_eq!(read.subject(), Some(subject), "{}", String::from_utf8_lossy(&bytes));
            let text = String::from_utf8(bytes.clone()).unwrap();
            let headers = text.split("\r\n\r\n").next().unwrap();
            assert!(!headers.contains("\r\nBcc:") && headers.contains("\r\nSubject: "), "{headers}");
            let subject = headers.lines().skip_while(|line| !line.starts_with("Subject: "));
            let mut subject = subject.take_while(|line| line.starts_with([' ', 'S']));
            assert!(subject.all(|line| line.len() <= 76), "{headers}");
        }
    }
}
