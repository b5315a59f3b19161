//! Telling the reviewer: what, over which channel, and once.

pub mod channels;
mod notice;

pub use notice::{Notice, NoticeKind, NoticeMatch};
