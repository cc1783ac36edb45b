//! What the agent hears and says: hold, consultation, swap, conference.
