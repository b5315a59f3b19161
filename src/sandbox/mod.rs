//! A small stateful GitLab on a real socket: the test bed and the demo.
//!
//! It imports nothing of ours, so that it cannot share our mistakes.
