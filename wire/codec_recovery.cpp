#include "wire/codec_recovery.h"

#include <cstring>
#include <utility>

namespace loyal::wire::detail {

namespace {

using namespace consensus;

bool part_ok(std::uint32_t part) {
    return part >= static_cast<std::uint32_t>(StatePart::subtree) &&
           part <= static_cast<std::uint32_t>(StatePart::records);
}
bool index_ok(std::uint32_t index) {
    return index <= 0xFFFFU;
}

ViewChange without_certificate(const ViewChange& change) {
    ViewChange bare = change;
    bare.certificate.reset();
    return bare;
}

}  // namespace

void fill(v1::PeerFrame& out, const Echo& message) {
    v1::Echo& echo = *out.mutable_echo();
    if (message.vote) {
        assign(echo.mutable_vote(), encode_vote(*message.vote));
    }
    if (message.view_change) {
        assign(echo.mutable_view_change(), encode_view_change(without_certificate(*message.view_change)));
    }
}

void fill(v1::PeerFrame& out, const Recover& message) {
    out.mutable_recover()->set_nonce(message.nonce);
}

void fill(v1::PeerFrame& out, const RecoverAck& message) {
    v1::RecoverAck& ack = *out.mutable_recover_ack();
    ack.set_nonce(message.nonce);
    ack.set_proven(message.proven.value);
    if (message.new_view) {
        assign(ack.mutable_new_view(), encode_new_view(*message.new_view));
    }
    for (const ViewChange& change : message.view_changes) {
        assign(ack.add_view_changes(), encode_view_change(without_certificate(change)));
    }
}

void fill(v1::PeerFrame& out, const StateRequest& message) {
    fill(*out.mutable_state_request(), message);
}

void fill(v1::StateRequest& request, const StateRequest& message) {
    request.set_checkpoint(message.checkpoint.value);
    request.set_part(static_cast<std::uint32_t>(message.part));
    request.set_index(message.index);
    if (message.count != 1) {
        request.set_count(message.count);
    }
    for (const LeafName& name : message.names) {
        request.mutable_names()->append(reinterpret_cast<const char*>(name.data()), name.size());
    }
}

void fill(v1::PeerFrame& out, const StateChunk& message) {
    fill(*out.mutable_state_chunk(), message);
}

void fill(v1::StateChunk& chunk, const StateChunk& message) {
    chunk.set_checkpoint(message.checkpoint.value);
    chunk.set_part(static_cast<std::uint32_t>(message.part));
    chunk.set_index(message.index);
    chunk.set_available(message.available);
    if (message.content) {
        assign(chunk.mutable_content(), *message.content);
    }
}

Result<PeerMessage> echo_from(const v1::Echo& in) {
    Echo echo;
    if (!in.vote().empty()) {
        auto vote = decode_vote(view(in.vote()));
        if (!vote) {
            return inside("ECHO", vote.error());
        }
        echo.vote = std::move(*vote);
    }
    if (!in.view_change().empty()) {
        auto change = decode_view_change(view(in.view_change()));
        if (!change || change->certificate) {
            return malformed("ECHO", "a malformed view change");
        }
        echo.view_change = std::move(*change);
    }
    return echo;
}

Result<PeerMessage> recover_ack_from(const v1::RecoverAck& in) {
    if (!view_ok(in.proven())) {
        return malformed("RECOVER-ACK", "a view out of range");
    }
    if (static_cast<std::size_t>(in.view_changes_size()) > limits::replicas_max) {
        return malformed("RECOVER-ACK", std::to_string(in.view_changes_size()) + " view changes");
    }
    RecoverAck ack;
    ack.nonce = in.nonce();
    ack.proven = View(in.proven());
    if (!in.new_view().empty()) {
        auto message = decode_new_view(view(in.new_view()));
        if (!message) {
            return inside("RECOVER-ACK", message.error());
        }
        ack.new_view = std::move(*message);
    }
    for (const std::string& bytes : in.view_changes()) {
        auto change = decode_view_change(view(bytes));
        if (!change || change->certificate) {
            return malformed("RECOVER-ACK", "a malformed view change");
        }
        ack.view_changes.push_back(std::move(*change));
    }
    return ack;
}

Result<StateRequest> state_request_from(const v1::StateRequest& in) {
    if (!height_ok(in.checkpoint()) || !part_ok(in.part()) || !index_ok(in.index())) {
        return malformed("STATE-REQUEST", "a height, part or index out of range");
    }
    if (in.names().size() % leaf_name_bytes != 0 || in.names().size() / leaf_name_bytes > limits::state_names_max) {
        return malformed("STATE-REQUEST", "a list of names of " + std::to_string(in.names().size()) + " bytes");
    }
    const std::uint32_t count = in.count() == 0 ? 1 : in.count();
    if (count > limits::state_buckets_max || !index_ok(in.index() + count - 1)) {
        return malformed("STATE-REQUEST", "too many buckets");
    }
    StateRequest request{Height(in.checkpoint()), static_cast<StatePart>(in.part()), in.index(), {}, count};
    request.names.resize(in.names().size() / leaf_name_bytes);
    for (std::size_t i = 0; i < request.names.size(); ++i) {
        std::memcpy(request.names[i].data(), in.names().data() + i * leaf_name_bytes, leaf_name_bytes);
    }
    return request;
}

Result<StateChunk> state_chunk_from(const v1::StateChunk& in) {
    if (!height_ok(in.checkpoint()) || !part_ok(in.part()) || !index_ok(in.index())) {
        return malformed("STATE-CHUNK", "a height, part or index out of range");
    }
    if (in.content().size() > limits::state_chunk_bytes_max + limits::state_record_bytes_max) {
        return malformed("STATE-CHUNK", "content of " + std::to_string(in.content().size()) + " bytes");
    }
    return StateChunk{Height(in.checkpoint()), static_cast<StatePart>(in.part()), in.index(), in.available(),
                      shared(in.content())};
}

}  // namespace loyal::wire::detail
