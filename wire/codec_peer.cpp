// Messages between replicas.
#include <cstring>

#include "wire/codec.h"
#include "wire/codec_recovery.h"
#include "wire/codec_support.h"

namespace loyal::wire {

namespace {

using namespace detail;
using namespace consensus;

// By id at most 2 * window_max bodies are asked for; a committed range has fetch_blocks_max and an uncommitted tail W.
constexpr std::size_t fetch_ids_max = 2 * limits::window_max;
constexpr std::size_t blocks_max = limits::fetch_blocks_max + limits::window_max;
static_assert(fetch_ids_max <= blocks_max);

// ---- Encoding

void fill(v1::Block& out, const Block& block) {
    assign(out.mutable_header(), encode_header(block.header));
    assign(out.mutable_signature(), block.signature.bytes);
    if (block.body) {
        assign(out.mutable_body(), *block.body);
    }
}

void fill(v1::PeerFrame& out, const Propose& message) {
    LOYAL_ASSERT(message.block, "a PROPOSE has a block");
    fill(*out.mutable_propose()->mutable_block(), *message.block);
    out.mutable_propose()->set_committed(message.committed.value);
}
void fill(v1::PeerFrame& out, const Vote& message) {
    assign(out.mutable_vote(), encode_vote(message));
}
void fill(v1::PeerFrame& out, const ViewChange& message) {
    assign(out.mutable_view_change(), encode_view_change(message));
}
void fill(v1::PeerFrame& out, const NewView& message) {
    assign(out.mutable_new_view(), encode_new_view(message));
}
void fill(v1::PeerFrame& out, const Relay& message) {
    assign(out.mutable_relay(), message.envelope.bytes);
}
void fill(v1::PeerFrame& out, const Heartbeat& message) {
    v1::Heartbeat& heartbeat = *out.mutable_heartbeat();
    heartbeat.set_entered(message.entered.value);
    heartbeat.set_promised(message.promised.value);
    heartbeat.set_committed(message.committed.value);
    heartbeat.set_prepared(message.prepared.value);
}
void fill(v1::PeerFrame& out, const ClockProbe& message) {
    out.mutable_clock_probe()->set_sent_us(message.sent_us);
}
void fill(v1::PeerFrame& out, const ClockAnswer& message) {
    v1::ClockAnswer& answer = *out.mutable_clock_answer();
    answer.set_probe_us(message.probe_us);
    answer.set_received_us(message.received_us);
    answer.set_sent_us(message.sent_us);
}
void fill(v1::PeerFrame& out, const Fetch& message) {
    v1::Fetch& fetch = *out.mutable_fetch();
    fetch.set_what(static_cast<std::uint32_t>(message.what));
    fetch.set_from(message.from.value);
    for (const crypto::Digest& id : message.ids) {
        fetch.mutable_ids()->append(text_of(id.bytes));
    }
}
void fill(v1::PeerFrame& out, const Blocks& message) {
    v1::Blocks& blocks = *out.mutable_blocks();
    for (const Header& header : message.headers) {
        blocks.mutable_headers()->append(text_of(encode_header(header)));
    }
    if (message.commit) {
        assign(blocks.mutable_commit(), encode_certificate(*message.commit));
    }
    for (const BlockPtr& block : message.blocks) {
        LOYAL_ASSERT(block, "BLOCKS has no empty places");
        fill(*blocks.add_blocks(), *block);
    }
    if (message.prepare) {
        assign(blocks.mutable_prepare(), encode_certificate(*message.prepare));
    }
    if (message.checkpoint) {
        assign(blocks.mutable_checkpoint(), encode_checkpoint_proof(*message.checkpoint));
    }
}
void fill(v1::PeerFrame& out, const PreVote& message) {
    out.mutable_pre_vote()->set_new_view(message.new_view.value);
}
void fill(v1::PeerFrame& out, const PreVoteGrant& message) {
    out.mutable_pre_vote_grant()->set_new_view(message.new_view.value);
}

// ---- Decoding

Result<BlockPtr> block_from(const ClusterContext& context, const v1::Block& in, const char* what) {
    if (in.header().size() != header_bytes) {
        return malformed(what, "a block header of " + std::to_string(in.header().size()) + " bytes");
    }
    if (in.body().size() > limits::body_bytes_max) {
        return malformed(what, "a block body of " + std::to_string(in.body().size()) + " bytes");
    }
    crypto::Signature signature;
    if (!fixed_bytes(in.signature(), signature)) {
        return malformed(what, "a block signature that is not 64 bytes");
    }
    auto header = decode_header(view(in.header()));
    if (!header) {
        return inside(what, header.error());
    }
    auto block = make_block(context, *header, signature, shared(in.body()));
    if (!block) {
        return inside(what, block.error());
    }
    return block;
}

Result<PeerMessage> propose_from(const ClusterContext& context, const v1::Propose& in) {
    if (!height_ok(in.committed())) {
        return malformed("PROPOSE", "a committed height out of range");
    }
    auto block = block_from(context, in.block(), "PROPOSE");
    if (!block) {
        return tl::unexpected(block.error());
    }
    return Propose{std::move(*block), Height(in.committed())};
}

// A message that travels whole in its canonical form.
template <class T>
Result<PeerMessage> canonical(const char* what, const std::string& bytes, Result<T> (*decode)(ByteView)) {
    auto value = decode(view(bytes));
    if (!value) {
        return inside(what, value.error());
    }
    return std::move(*value);
}

Result<PeerMessage> relay_from(const std::string& in) {
    if (in.size() > limits::envelope_bytes_max) {
        return malformed("RELAY", "an envelope of " + std::to_string(in.size()) + " bytes");
    }
    auto envelope = parse_envelope(shared(in));
    if (!envelope) {
        return inside("RELAY", envelope.error());
    }
    return Relay{std::move(*envelope)};
}

Result<PeerMessage> heartbeat_from(const v1::Heartbeat& in) {
    if (!view_ok(in.entered()) || !view_ok(in.promised()) || !height_ok(in.committed()) || !height_ok(in.prepared())) {
        return malformed("HEARTBEAT", "a view or height out of range");
    }
    return Heartbeat{View(in.entered()), View(in.promised()), Height(in.committed()), Height(in.prepared())};
}

Result<PeerMessage> fetch_from(const v1::Fetch& in) {
    constexpr std::size_t id_bytes = sizeof(crypto::Digest::bytes);
    if (in.what() < 1 || in.what() > 3) {
        return malformed("FETCH", "asks for an unknown kind");
    }
    if (!height_ok(in.from())) {
        return malformed("FETCH", "a height out of range");
    }
    if (in.ids().size() % id_bytes != 0 || in.ids().size() / id_bytes > fetch_ids_max) {
        return malformed("FETCH", "a list of ids of " + std::to_string(in.ids().size()) + " bytes");
    }
    Fetch fetch;
    fetch.what = static_cast<Fetch::What>(in.what());
    fetch.from = Height(in.from());
    fetch.ids.resize(in.ids().size() / id_bytes);
    for (std::size_t i = 0; i < fetch.ids.size(); ++i) {
        std::memcpy(fetch.ids[i].bytes.data(), in.ids().data() + i * id_bytes, id_bytes);
    }
    return fetch;
}

Result<std::optional<Certificate>> certificate_from(const std::string& in) {
    if (in.empty()) {
        return std::nullopt;
    }
    auto certificate = decode_certificate(view(in));
    if (!certificate) {
        return inside("BLOCKS", certificate.error());
    }
    return std::optional<Certificate>(std::move(*certificate));
}

Result<std::vector<Header>> headers_from(const std::string& in) {
    if (in.size() % header_bytes != 0 || in.size() / header_bytes > limits::fetch_blocks_max) {
        return malformed("BLOCKS", "a list of headers of " + std::to_string(in.size()) + " bytes");
    }
    std::vector<Header> headers;
    headers.reserve(in.size() / header_bytes);
    for (std::size_t at = 0; at < in.size(); at += header_bytes) {
        auto header = decode_header(view(in).subspan(at, header_bytes));
        if (!header) {
            return inside("BLOCKS", header.error());
        }
        headers.push_back(*header);
    }
    return headers;
}

Result<PeerMessage> blocks_from(const ClusterContext& context, const v1::Blocks& in) {
    if (static_cast<std::size_t>(in.blocks_size()) > blocks_max) {
        return malformed("BLOCKS", std::to_string(in.blocks_size()) + " blocks");
    }
    Blocks blocks;
    auto headers = headers_from(in.headers());
    if (!headers) {
        return tl::unexpected(headers.error());
    }
    blocks.headers = std::move(*headers);
    auto commit = certificate_from(in.commit());
    auto prepare = certificate_from(in.prepare());
    if (!commit || !prepare) {
        return tl::unexpected(commit ? prepare.error() : commit.error());
    }
    if (!in.checkpoint().empty()) {
        auto checkpoint = decode_checkpoint_proof(view(in.checkpoint()));
        if (!checkpoint) {
            return inside("BLOCKS", checkpoint.error());
        }
        blocks.checkpoint = std::move(*checkpoint);
    }
    blocks.commit = std::move(*commit);
    blocks.prepare = std::move(*prepare);
    for (const v1::Block& each : in.blocks()) {
        auto block = block_from(context, each, "BLOCKS");
        if (!block) {
            return tl::unexpected(block.error());
        }
        blocks.blocks.push_back(std::move(*block));
    }
    return blocks;
}

template <class Message>
Result<PeerMessage> view_only(std::uint64_t new_view, const char* what) {
    if (!view_ok(new_view)) {
        return malformed(what, "a view out of range");
    }
    return Message{View(new_view)};
}

}  // namespace

Bytes encode(const PeerMessage& message) {
    v1::PeerFrame frame;
    std::visit([&frame](const auto& each) { fill(frame, each); }, message);
    return serialize(frame);
}

Result<PeerMessage> decode_peer(const ClusterContext& context, ByteView bytes) {
    if (count_elements(bytes, v1::PeerFrame::kBlocksFieldNumber, v1::Blocks::kBlocksFieldNumber, blocks_max) >
        blocks_max) {
        return malformed("peer frame", "malformed, or too many blocks");
    }
    v1::PeerFrame frame;
    if (auto parsed = parse(frame, bytes, "peer frame"); !parsed) {
        return tl::unexpected(parsed.error());
    }
    switch (frame.message_case()) {
        case v1::PeerFrame::kPropose: return propose_from(context, frame.propose());
        case v1::PeerFrame::kVote: return canonical("VOTE", frame.vote(), &decode_vote);
        case v1::PeerFrame::kViewChange: return canonical("VIEW-CHANGE", frame.view_change(), &decode_view_change);
        case v1::PeerFrame::kNewView: return canonical("NEW-VIEW", frame.new_view(), &decode_new_view);
        case v1::PeerFrame::kRelay: return relay_from(frame.relay());
        case v1::PeerFrame::kFetch: return fetch_from(frame.fetch());
        case v1::PeerFrame::kBlocks: return blocks_from(context, frame.blocks());
        case v1::PeerFrame::kHeartbeat: return heartbeat_from(frame.heartbeat());
        case v1::PeerFrame::kPreVote: return view_only<PreVote>(frame.pre_vote().new_view(), "PRE-VOTE");
        case v1::PeerFrame::kPreVoteGrant:
            return view_only<PreVoteGrant>(frame.pre_vote_grant().new_view(), "PRE-VOTE-GRANT");
        case v1::PeerFrame::kClockProbe: return ClockProbe{frame.clock_probe().sent_us()};
        case v1::PeerFrame::kClockAnswer:
            return ClockAnswer{frame.clock_answer().probe_us(), frame.clock_answer().received_us(),
                               frame.clock_answer().sent_us()};
        case v1::PeerFrame::kEcho: return echo_from(frame.echo());
        case v1::PeerFrame::kRecover: return Recover{frame.recover().nonce()};
        case v1::PeerFrame::kRecoverAck: return recover_ack_from(frame.recover_ack());
        case v1::PeerFrame::kStateRequest: return state_request_from(frame.state_request());
        case v1::PeerFrame::kStateChunk: return state_chunk_from(frame.state_chunk());
        case v1::PeerFrame::MESSAGE_NOT_SET: break;
    }
    return malformed("peer frame", "no known message in it");
}

}  // namespace loyal::wire
