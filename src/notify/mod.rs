//! Telling the reviewer: what, over which channel, and once.

pub mod channels;
mod notice;
pub mod render;

pub use notice::{Notice, NoticeKind, NoticeMatch};
