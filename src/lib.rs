//! Vorhölle stages job matches as GitLab issues and follows the reviewer's decision.
//!
//! `ARCHITECTURE.md` is the map; each module says what it is for.

pub mod app;
pub mod channels;
pub mod cli;
pub mod clock;
pub mod config;
pub mod csv;
pub mod domain;
pub mod engine;
pub mod gitlab;
pub mod metrics;
pub mod mirror;
pub mod notify;
pub mod outgoing;
pub mod sandbox;
pub mod templates;
pub mod web;
