// Replies to clients (PROTOCOL.md P1): of each outcome, replica (client_id + seq) mod n and the next f send it in full,
// the others its digest, so that one of them is correct and the traffic is small. Short results always go in full.
// Pure.
#pragma once

#include "consensus/quorum.h"
#include "kvstore/state_machine.h"
#include "wire/client_messages.h"

namespace loyal::replica {

struct ReplyContext {
    consensus::ReplicaId self;
    consensus::Quorum quorum;
    consensus::View view;
    consensus::Hlc hlc;
};

[[nodiscard]] bool sends_in_full(const ReplyContext& context, const consensus::ClientId& client,
                                 const kvstore::Outcome& outcome);
// `everything`: the stored reply of a retry, or the only replier of the crash model. Who puts it into frames cuts it
// where it is too long for one (wire::encode_frames).
[[nodiscard]] wire::Reply make_reply(const ReplyContext& context, const kvstore::Replies& replies, bool everything);

}  // namespace loyal::replica
