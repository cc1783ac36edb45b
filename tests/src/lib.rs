//! Helpers shared by the stories.
