// Messages as an observer sees them: kind, view, height and a few words.
#pragma once

#include "consensus/messages.h"
#include "sim/observer.h"
#include "wire/client_messages.h"

namespace loyal::sim {

// Without `id`, `from` and `to`.
[[nodiscard]] MessageSeen seen(const consensus::PeerMessage& message);
[[nodiscard]] MessageSeen seen(const wire::ClientMessage& message);
[[nodiscard]] MessageSeen seen(const wire::ReplicaMessage& message);

}  // namespace loyal::sim
