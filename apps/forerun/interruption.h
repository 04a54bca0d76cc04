#pragma once

namespace forerun {

// The signal that asked for an end since the last clear_interruption(), or 0.
int interruption();
void clear_interruption();

// Readable from a noted signal to clear_interruption(), for who waits for other things besides.
// Any thread may be the one that a signal comes to.
int interruption_descriptor();

// SIGINT and SIGTERM are noted; the second one ends the process.
void end_answer_on_signals();

// SIGINT is noted, however often it comes: it ends an answer and never the conversation.
void end_each_answer_on_interrupt();

}  // namespace forerun
