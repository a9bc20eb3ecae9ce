"""Everything on one machine: embedded servers, sessions, the demo, the doctor."""
