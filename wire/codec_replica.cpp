// Messages from a replica to a client.
#include <algorithm>

#include "wire/codec.h"
#include "wire/codec_recovery.h"
#include "wire/codec_support.h"
#include "wire/codec_watch.h"

namespace loyal::wire {

namespace {

using namespace detail;
using consensus::Height;
using consensus::Hlc;
using consensus::ReplicaId;
using consensus::Seq;
using consensus::SessionId;
using consensus::View;

constexpr std::size_t why_bytes_max = 512;
constexpr std::size_t status_bytes_max = 256U << 10U;
// What an OutcomeReply or a ReadReply takes in a frame besides its result, and a Reply besides its outcomes: fixed
// fields of at most 11 bytes each, a digest, tags and lengths.
constexpr std::size_t outcome_overhead_bytes = 192;
constexpr std::size_t reply_overhead_bytes = 128;

// ---- Encoding

void fill(v1::ReplicaFrame& out, const Welcome& message) {
    v1::Welcome& welcome = *out.mutable_welcome();
    welcome.set_replica(message.replica.value);
    welcome.set_view(message.view.value);
    welcome.set_primary(message.primary.value);
    welcome.set_hlc(message.hlc.packed);
}

void fill(v1::OutcomeReply& out, const OutcomeReply& reply) {
    out.set_seq(reply.seq.value);
    assign(out.mutable_digest(), reply.digest.bytes);
    if (!reply.outcome) {
        return;
    }
    v1::Outcome& outcome = *out.mutable_outcome();
    outcome.set_height(reply.outcome->height.value);
    outcome.set_view(reply.outcome->view.value);
    outcome.set_hlc(reply.outcome->hlc.packed);
    outcome.set_revision(reply.outcome->revision.value);
    outcome.set_status(static_cast<std::uint32_t>(reply.outcome->status));
    assign(outcome.mutable_result(), reply.outcome->result);
}

void fill(v1::ReplicaFrame& out, const Reply& message) {
    v1::Reply& reply = *out.mutable_reply();
    reply.set_replica(message.replica.value);
    reply.set_session(message.session.value);
    reply.set_view(message.view.value);
    reply.set_hlc(message.hlc.packed);
    for (const OutcomeReply& each : message.outcomes) {
        fill(*reply.add_outcomes(), each);
    }
}

void fill(v1::ReplicaFrame& out, const Refusal& message) {
    v1::Refusal& refusal = *out.mutable_refusal();
    refusal.set_replica(message.replica.value);
    refusal.set_code(static_cast<std::uint32_t>(message.code));
    refusal.set_is_read(message.is_read);
    refusal.set_session(message.session.value);
    refusal.set_nonce(message.nonce);
    refusal.set_why(message.why.substr(0, why_bytes_max));
}

void fill(v1::ReplicaFrame& out, const ReadReply& message) {
    v1::ReadReply& reply = *out.mutable_read_reply();
    reply.set_replica(message.replica.value);
    reply.set_nonce(message.nonce);
    assign(reply.mutable_digest(), message.digest.bytes);
    reply.set_has_result(message.result.has_value());
    if (message.result) {
        assign(reply.mutable_result(), *message.result);
    }
    reply.set_revision(message.revision.value);
    reply.set_executed(message.executed.value);
    reply.set_lock(message.lock.value);
    reply.set_hlc(message.hlc.packed);
}

void fill(v1::ReplicaFrame& out, const StatusReply& message) {
    out.mutable_status_reply()->set_nonce(message.nonce);
    out.mutable_status_reply()->set_json(message.json.substr(0, status_bytes_max));
}

void fill(v1::ReplicaFrame& out, const ControlReply& message) {
    out.mutable_control_reply()->set_nonce(message.nonce);
    out.mutable_control_reply()->set_text(message.text.substr(0, limits::control_text_bytes_max));
}

void fill(v1::ReplicaFrame& out, const CheckpointAnswer& message) {
    v1::CheckpointAnswer& answer = *out.mutable_checkpoint_answer();
    answer.set_nonce(message.nonce);
    answer.set_executed(message.executed.value);
    if (message.proof) {
        assign(answer.mutable_proof(), consensus::encode_checkpoint_proof(*message.proof));
    }
}

void fill(v1::ReplicaFrame& out, const StateAnswer& message) {
    out.mutable_state_answer()->set_nonce(message.nonce);
    detail::fill(*out.mutable_state_answer()->mutable_chunk(), message.chunk);
}

void fill(v1::ReplicaFrame& out, const ReceiptAnswer& message) {
    v1::ReceiptAnswer& answer = *out.mutable_receipt_answer();
    answer.set_nonce(message.nonce);
    assign(answer.mutable_receipt(), kvstore::encode_receipt(message.receipt));
    assign(answer.mutable_signature(), message.signature.bytes);
}

void fill(v1::ReplicaFrame& out, const StateProofAnswer& message) {
    out.mutable_state_proof_answer()->set_nonce(message.nonce);
    assign(out.mutable_state_proof_answer()->mutable_proof(), kvstore::encode_state_proof(message.proof));
}

// ---- Decoding

Result<ReplicaMessage> welcome_from(const v1::Welcome& in) {
    if (!replica_ok(in.replica()) || !replica_ok(in.primary()) || !view_ok(in.view())) {
        return malformed("WELCOME", "a replica or view out of range");
    }
    return Welcome{replica(in.replica()), View(in.view()), replica(in.primary()), Hlc(in.hlc())};
}

Result<OutcomeReply> outcome_from(const v1::OutcomeReply& in) {
    OutcomeReply reply;
    reply.seq = Seq(in.seq());
    if (!fixed_bytes(in.digest(), reply.digest)) {
        return malformed("REPLY", "a digest that is not 32 bytes");
    }
    if (!in.has_outcome()) {
        return reply;
    }
    const v1::Outcome& outcome = in.outcome();
    if (outcome.status() > 0xFF || !kvstore::is_status(static_cast<std::uint8_t>(outcome.status()))) {
        return malformed("REPLY", "an unknown status");
    }
    if (!view_ok(outcome.view()) || !height_ok(outcome.height())) {
        return malformed("REPLY", "a view or height out of range");
    }
    reply.outcome = kvstore::Outcome{Seq(in.seq()),
                                     Height(outcome.height()),
                                     View(outcome.view()),
                                     Hlc(outcome.hlc()),
                                     kvstore::Revision(outcome.revision()),
                                     static_cast<kvstore::Status>(outcome.status()),
                                     owned(outcome.result())};
    return reply;
}

Result<ReplicaMessage> reply_from(const v1::Reply& in) {
    if (!replica_ok(in.replica()) || !view_ok(in.view())) {
        return malformed("REPLY", "a replica or view out of range");
    }
    if (static_cast<std::size_t>(in.outcomes_size()) > limits::envelope_ops_max) {
        return malformed("REPLY", std::to_string(in.outcomes_size()) + " outcomes");
    }
    Reply reply{replica(in.replica()), SessionId(in.session()), View(in.view()), Hlc(in.hlc()), {}};
    reply.outcomes.reserve(static_cast<std::size_t>(in.outcomes_size()));
    for (const v1::OutcomeReply& each : in.outcomes()) {
        auto outcome = outcome_from(each);
        if (!outcome) {
            return tl::unexpected(outcome.error());
        }
        reply.outcomes.push_back(std::move(*outcome));
    }
    return reply;
}

Result<ReplicaMessage> refusal_from(const v1::Refusal& in) {
    if (!replica_ok(in.replica())) {
        return malformed("REFUSAL", "a replica out of range");
    }
    if (in.code() < static_cast<std::uint32_t>(RefusalCode::busy) ||
        in.code() > static_cast<std::uint32_t>(RefusalCode::starting)) {
        return malformed("REFUSAL", "an unknown code");
    }
    if (in.why().size() > why_bytes_max) {
        return malformed("REFUSAL", "a reason of " + std::to_string(in.why().size()) + " bytes");
    }
    return Refusal{replica(in.replica()),
                   static_cast<RefusalCode>(in.code()),
                   in.is_read(),
                   SessionId(in.session()),
                   in.nonce(),
                   in.why()};
}

Result<ReplicaMessage> read_reply_from(const v1::ReadReply& in) {
    ReadReply reply;
    if (!replica_ok(in.replica()) || !height_ok(in.executed()) || !height_ok(in.lock())) {
        return malformed("READ-REPLY", "a replica or height out of range");
    }
    if (!fixed_bytes(in.digest(), reply.digest)) {
        return malformed("READ-REPLY", "a digest that is not 32 bytes");
    }
    if (!in.has_result() && !in.result().empty()) {
        return malformed("READ-REPLY", "a result that says it is none");
    }
    reply.replica = replica(in.replica());
    reply.nonce = in.nonce();
    if (in.has_result()) {
        reply.result = owned(in.result());
    }
    reply.revision = kvstore::Revision(in.revision());
    reply.executed = Height(in.executed());
    reply.lock = Height(in.lock());
    reply.hlc = Hlc(in.hlc());
    return reply;
}

Result<ReplicaMessage> status_reply_from(const v1::StatusReply& in) {
    if (in.json().size() > status_bytes_max) {
        return malformed("STATUS-REPLY", std::to_string(in.json().size()) + " bytes");
    }
    return StatusReply{in.nonce(), in.json()};
}

Result<ReplicaMessage> control_reply_from(const v1::ControlReply& in) {
    if (in.text().size() > limits::control_text_bytes_max) {
        return malformed("CONTROL-REPLY", "a text of " + std::to_string(in.text().size()) + " bytes");
    }
    return ControlReply{in.nonce(), in.text()};
}

Result<ReplicaMessage> checkpoint_answer_from(const v1::CheckpointAnswer& in) {
    if (!height_ok(in.executed())) {
        return malformed("CHECKPOINT-ANSWER", "a height out of range");
    }
    CheckpointAnswer answer{in.nonce(), std::nullopt, Height(in.executed())};
    if (!in.proof().empty()) {
        auto proof = consensus::decode_checkpoint_proof(view(in.proof()));
        if (!proof) {
            return inside("CHECKPOINT-ANSWER", proof.error());
        }
        answer.proof = std::move(*proof);
    }
    return answer;
}

Result<ReplicaMessage> state_answer_from(const v1::StateAnswer& in) {
    auto chunk = state_chunk_from(in.chunk());
    if (!chunk) {
        return tl::unexpected(chunk.error());
    }
    return StateAnswer{in.nonce(), std::move(*chunk)};
}

Result<ReplicaMessage> receipt_answer_from(const v1::ReceiptAnswer& in) {
    auto receipt = kvstore::decode_receipt(view(in.receipt()));
    if (!receipt) {
        return inside("RECEIPT", receipt.error());
    }
    ReceiptAnswer answer{in.nonce(), std::move(*receipt), {}};
    if (!fixed_bytes(in.signature(), answer.signature)) {
        return malformed("RECEIPT", "a signature that is not 64 bytes");
    }
    return answer;
}

Result<ReplicaMessage> state_proof_answer_from(const v1::StateProofAnswer& in) {
    auto proof = kvstore::decode_state_proof(view(in.proof()));
    if (!proof) {
        return inside("STATE-PROOF", proof.error());
    }
    return StateProofAnswer{in.nonce(), std::move(*proof)};
}

// ---- Cutting

std::size_t frame_cost(const OutcomeReply& reply) {
    return outcome_overhead_bytes + (reply.outcome ? reply.outcome->result.size() : 0);
}

std::vector<Bytes> reply_frames(const Reply& message, std::size_t bytes_max) {
    std::vector<Bytes> frames;
    Reply part{message.replica, message.session, message.view, message.hlc, {}};
    std::size_t bytes = reply_overhead_bytes;
    for (const OutcomeReply& each : message.outcomes) {
        const bool too_long = reply_overhead_bytes + frame_cost(each) > bytes_max;
        const std::size_t cost = too_long ? outcome_overhead_bytes : frame_cost(each);
        if (!part.outcomes.empty() && (bytes + cost > bytes_max || part.outcomes.size() == limits::envelope_ops_max)) {
            frames.push_back(encode(ReplicaMessage(part)));
            part.outcomes.clear();
            bytes = reply_overhead_bytes;
        }
        part.outcomes.push_back(too_long ? OutcomeReply{each.seq, {}, each.digest} : each);
        bytes += cost;
    }
    frames.push_back(encode(ReplicaMessage(std::move(part))));
    return frames;
}

}  // namespace

Bytes encode(const ReplicaMessage& message) {
    v1::ReplicaFrame frame;
    std::visit([&frame](const auto& each) { fill(frame, each); }, message);
    return serialize(frame);
}

std::vector<Bytes> encode_frames(const ReplicaMessage& message, std::size_t frame_bytes_max) {
    const std::size_t bytes_max = frame_bytes_max == 0 ? limits::frame_bytes_max : frame_bytes_max;
    LOYAL_ASSERT(bytes_max >= 1024, "a frame holds at least one digest");
    if (const auto* reply = std::get_if<Reply>(&message)) {
        return reply_frames(*reply, bytes_max);
    }
    const auto* read = std::get_if<ReadReply>(&message);
    if (read != nullptr && read->result && outcome_overhead_bytes + read->result->size() > bytes_max) {
        ReadReply digest_only = *read;
        digest_only.result.reset();
        return {encode(ReplicaMessage(std::move(digest_only)))};
    }
    return {encode(message)};
}

Result<ReplicaMessage> decode_replica(ByteView bytes) {
    if (count_elements(bytes, v1::ReplicaFrame::kReplyFieldNumber, v1::Reply::kOutcomesFieldNumber,
                       limits::envelope_ops_max) > limits::envelope_ops_max) {
        return malformed("replica frame", "malformed, or too many outcomes");
    }
    if (!watch_events_bounded(bytes)) {
        return malformed("replica frame", "malformed, or too many changes");
    }
    v1::ReplicaFrame frame;
    if (auto parsed = parse(frame, bytes, "replica frame"); !parsed) {
        return tl::unexpected(parsed.error());
    }
    switch (frame.message_case()) {
        case v1::ReplicaFrame::kReply: return reply_from(frame.reply());
        case v1::ReplicaFrame::kReadReply: return read_reply_from(frame.read_reply());
        case v1::ReplicaFrame::kWelcome: return welcome_from(frame.welcome());
        case v1::ReplicaFrame::kRefusal: return refusal_from(frame.refusal());
        case v1::ReplicaFrame::kStatusReply: return status_reply_from(frame.status_reply());
        case v1::ReplicaFrame::kControlReply: return control_reply_from(frame.control_reply());
        case v1::ReplicaFrame::kCheckpointAnswer: return checkpoint_answer_from(frame.checkpoint_answer());
        case v1::ReplicaFrame::kStateAnswer: return state_answer_from(frame.state_answer());
        case v1::ReplicaFrame::kReceiptAnswer: return receipt_answer_from(frame.receipt_answer());
        case v1::ReplicaFrame::kStateProofAnswer: return state_proof_answer_from(frame.state_proof_answer());
        case v1::ReplicaFrame::kWatchEvents: return watch_events_from(frame.watch_events());
        case v1::ReplicaFrame::kWatchProgress: return watch_progress_from(frame.watch_progress());
        case v1::ReplicaFrame::kWatchEnd: return watch_end_from(frame.watch_end());
        case v1::ReplicaFrame::MESSAGE_NOT_SET: break;
    }
    return malformed("replica frame", "no known message in it");
}

}  // namespace loyal::wire
