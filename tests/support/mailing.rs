//! A world whose service mails the reviewer, and what arrived.

#![allow(dead_code, reason = "each story uses a part of it")]

use mail_parser::{Message, MessageParser};
use serde_json::Value;

use crate::smtp::MailServer;
use crate::support::{Difference, World};

/// Kept for as long as the test runs.
pub fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A world with these settings that mails these people, with more variables.
pub async fn mailing_with(
    file: &'static str,
    to: &'static str,
    more: &[(&'static str, &'static str)],
) -> (World, MailServer) {
    let server = MailServer::start(false).await;
    let url = kept(format!("smtp://{}", server.address));
    let from = "Vorhölle <jobs@example.com>";
    let mut variables = vec![("SMTP_URL", url), ("MAIL_FROM", from), ("MAIL_TO", to)];
    variables.extend(more);
    let world = World::with(Difference { variables, file: Some(file), ..Difference::default() }).await;
    (world, server)
}

pub async fn mailing_to(file: &'static str, to: &'static str) -> (World, MailServer) {
    mailing_with(file, to, &[]).await
}

pub async fn mailing(file: &'static str) -> (World, MailServer) {
    mailing_to(file, "anna@example.com").await
}

pub fn parsed(message: &[u8]) -> Message<'_> {
    MessageParser::default().parse(message).unwrap()
}

pub fn subjects(server: &MailServer) -> Vec<String> {
    server.mails().iter().map(|mail| parsed(&mail.message).subject().unwrap().to_owned()).collect()
}

pub fn ids(server: &MailServer) -> Vec<String> {
    server.mails().iter().map(|mail| parsed(&mail.message).message_id().unwrap().to_owned()).collect()
}

/// The subject of a mail about one match alone.
pub fn single(id: &str) -> String {
    format!("[97 %] Cloud Architect {id} – Amoria Bond")
}

/// How mails fare.
pub async fn channel(world: &World) -> Value {
    world.get("/health").await.1["channels"][0].clone()
}

/// What became of the first message about a match.
pub async fn delivery(world: &World, iid: u64) -> Value {
    world.get(&format!("/api/v1/matches/{iid}")).await.1["deliveries"][0].clone()
}
