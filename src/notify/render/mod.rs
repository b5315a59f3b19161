//! A notice in the form of each channel.

mod mail;

pub use mail::{MailText, mail};
