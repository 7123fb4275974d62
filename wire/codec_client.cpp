// Messages from a client to a replica.
#include "wire/codec.h"
#include "wire/codec_recovery.h"
#include "wire/codec_support.h"
#include "wire/codec_watch.h"

namespace loyal::wire {

namespace {

using namespace detail;

void fill(v1::ClientFrame& out, const Submit& message) {
    assign(out.mutable_submit(), message.envelope.bytes);
}
void fill(v1::ClientFrame& out, const Read& message) {
    v1::Read& read = *out.mutable_read();
    read.set_nonce(message.nonce);
    assign(read.mutable_query(), kvstore::encode_query(message.query));
    read.set_min_executed(message.min_executed.value);
    read.set_want_result(message.want_result);
    read.set_stale(message.stale);
}
void fill(v1::ClientFrame& out, const StatusRequest& message) {
    out.mutable_status_request()->set_nonce(message.nonce);
}
void fill(v1::ClientFrame& out, const Control& message) {
    out.mutable_control()->set_nonce(message.nonce);
    out.mutable_control()->set_command(message.command);
}
void fill(v1::ClientFrame& out, const CheckpointAsk& message) {
    out.mutable_checkpoint_ask()->set_nonce(message.nonce);
}
void fill(v1::ClientFrame& out, const StateAsk& message) {
    out.mutable_state_ask()->set_nonce(message.nonce);
    detail::fill(*out.mutable_state_ask()->mutable_request(), message.request);
}

void fill(v1::ClientFrame& out, const ReceiptAsk& message) {
    v1::ReceiptAsk& ask = *out.mutable_receipt_ask();
    ask.set_nonce(message.nonce);
    ask.set_session(message.session.value);
    ask.set_seq(message.seq.value);
    ask.set_height(message.height.value);
}
void fill(v1::ClientFrame& out, const StateProofAsk& message) {
    out.mutable_state_proof_ask()->set_nonce(message.nonce);
    assign(out.mutable_state_proof_ask()->mutable_key(), message.key);
}

Result<ClientMessage> submit_from(const std::string& in) {
    if (in.size() > limits::envelope_bytes_max) {
        return malformed("SUBMIT", "an envelope of " + std::to_string(in.size()) + " bytes");
    }
    auto envelope = consensus::parse_envelope(shared(in));
    if (!envelope) {
        return inside("SUBMIT", envelope.error());
    }
    return Submit{std::move(*envelope)};
}

Result<ClientMessage> read_from(const v1::Read& in) {
    if (in.min_executed() > limits::height_max) {
        return malformed("READ", "a height out of range");
    }
    auto query = kvstore::decode_query(view(in.query()));
    if (!query) {
        return inside("READ", query.error());
    }
    Read read;
    read.nonce = in.nonce();
    read.query = std::move(*query);
    read.min_executed = consensus::Height(in.min_executed());
    read.want_result = in.want_result();
    read.stale = in.stale();
    return read;
}

Result<ClientMessage> control_from(const v1::Control& in) {
    if (in.command().size() > limits::control_command_bytes_max) {
        return malformed("CONTROL", "a command of " + std::to_string(in.command().size()) + " bytes");
    }
    return Control{in.nonce(), in.command()};
}

Result<ClientMessage> state_ask_from(const v1::StateAsk& in) {
    auto request = state_request_from(in.request());
    if (!request) {
        return tl::unexpected(request.error());
    }
    return StateAsk{in.nonce(), std::move(*request)};
}

Result<ClientMessage> receipt_ask_from(const v1::ReceiptAsk& in) {
    if (!height_ok(in.height())) {
        return malformed("RECEIPT-ASK", "a height out of range");
    }
    return ReceiptAsk{in.nonce(), consensus::SessionId(in.session()), consensus::Seq(in.seq()),
                      consensus::Height(in.height())};
}

Result<ClientMessage> state_proof_ask_from(const v1::StateProofAsk& in) {
    if (in.key().empty() || in.key().size() > limits::key_bytes_max) {
        return malformed("STATE-PROOF-ASK", "a key of " + std::to_string(in.key().size()) + " bytes");
    }
    return StateProofAsk{in.nonce(), owned(in.key())};
}

}  // namespace

Bytes encode(const ClientMessage& message) {
    v1::ClientFrame frame;
    std::visit([&frame](const auto& each) { fill(frame, each); }, message);
    return serialize(frame);
}

bool begins_as_read(ByteView client_frame) {
    constexpr unsigned length_delimited = 2;  // Protobuf's wire type of a message
    constexpr auto tag =
        static_cast<std::uint8_t>(unsigned{v1::ClientFrame::kReadFieldNumber} << 3U | length_delimited);
    return !client_frame.empty() && client_frame.front() == tag;
}

Result<ClientMessage> decode_client(ByteView bytes) {
    v1::ClientFrame frame;
    if (auto parsed = parse(frame, bytes, "client frame"); !parsed) {
        return tl::unexpected(parsed.error());
    }
    if (begins_as_read(bytes) && !frame.has_read()) {
        return malformed("client frame", "several messages in it");
    }
    switch (frame.message_case()) {
        case v1::ClientFrame::kSubmit: return submit_from(frame.submit());
        case v1::ClientFrame::kRead: return read_from(frame.read());
        case v1::ClientFrame::kStatusRequest: return StatusRequest{frame.status_request().nonce()};
        case v1::ClientFrame::kControl: return control_from(frame.control());
        case v1::ClientFrame::kCheckpointAsk: return CheckpointAsk{frame.checkpoint_ask().nonce()};
        case v1::ClientFrame::kStateAsk: return state_ask_from(frame.state_ask());
        case v1::ClientFrame::kReceiptAsk: return receipt_ask_from(frame.receipt_ask());
        case v1::ClientFrame::kStateProofAsk: return state_proof_ask_from(frame.state_proof_ask());
        case v1::ClientFrame::kWatch: return watch_from(frame.watch());
        case v1::ClientFrame::kUnwatch: return unwatch_from(frame.unwatch());
        case v1::ClientFrame::MESSAGE_NOT_SET: break;
    }
    return malformed("client frame", "no known message in it");
}

}  // namespace loyal::wire
