//! Slack, WhatsApp and Gmail: what people read, as reviewed snapshots; what arrives at strict receivers; what becomes of
//! answers that are slow, wrong, missing or torn.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "channels/gmail.rs"]
mod gmail;
#[path = "channels/login.rs"]
mod login;
#[path = "channels/notices.rs"]
mod notices;
#[path = "support/receivers.rs"]
mod receivers;
#[path = "channels/slack.rs"]
mod slack;
#[path = "channels/whatsapp.rs"]
mod whatsapp;
