//! A card: all functions of a slot and what must travel with it.
