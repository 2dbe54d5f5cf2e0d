//! Planning a guest.
