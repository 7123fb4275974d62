#include "consensus/envelope.h"

#include <algorithm>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "consensus/messages.h"
#include "crypto/canonical.h"

namespace loyal::consensus {
namespace {

constexpr std::size_t fixed_bytes = 16 + 32 + 8 + 8 + 2 + 8 + 8 + 4;
constexpr std::size_t signature_bytes = 64;
static_assert(fixed_bytes + signature_bytes <= limits::envelope_overhead_bytes_max);

}  // namespace

ClientId client_id_of(const crypto::PublicKey& key) {
    const crypto::Digest digest = crypto::digest_of("client", key.bytes);
    ClientId id;
    std::copy_n(digest.bytes.begin(), id.bytes.size(), id.bytes.begin());
    return id;
}

Result<Envelope> parse_envelope(ByteView bytes, SharedBytes owner) {
    if (bytes.size() > limits::envelope_bytes_max) {
        return fail(Errc::invalid_argument, "envelope over the size limit");
    }
    crypto::CanonicalReader reader(bytes);
    Envelope envelope;
    const ByteView client = reader.raw(envelope.client.bytes.size());
    const ByteView key = reader.raw(envelope.key.bytes.size());
    if (reader.ok()) {
        std::copy(client.begin(), client.end(), envelope.client.bytes.begin());
        std::copy(key.begin(), key.end(), envelope.key.bytes.begin());
    }
    envelope.session = SessionId(reader.number<std::uint64_t>());
    envelope.seq0 = Seq(reader.number<std::uint64_t>());
    envelope.count = reader.number<std::uint16_t>();
    envelope.not_after = Hlc(reader.number<std::uint64_t>());
    envelope.ack_low = Seq(reader.number<std::uint64_t>());
    envelope.operations = reader.sized(limits::envelope_bytes_max);
    envelope.signature = reader.signature();
    if (!reader.finish()) {
        return fail(Errc::invalid_argument, "envelope is cut short or has bytes left over");
    }
    if (envelope.count == 0 || envelope.count > limits::envelope_ops_max) {
        return fail(Errc::invalid_argument, "envelope holds no operation or too many");
    }
    if (envelope.seq0.value == 0 || envelope.seq0.value >= limits::height_max) {
        return fail(Errc::invalid_argument, "envelope's first sequence number is out of range");
    }
    if (envelope.client != client_id_of(envelope.key)) {
        return fail(Errc::invalid_argument, "envelope whose client is not that of its key");
    }
    envelope.bytes = bytes;
    envelope.owner = std::move(owner);
    envelope.digest = crypto::digest_of("env", bytes.first(bytes.size() - signature_bytes));
    return envelope;
}

Result<Envelope> parse_envelope(SharedBytes bytes) {
    const ByteView view(*bytes);
    return parse_envelope(view, std::move(bytes));
}

Bytes make_envelope(const EnvelopeContent& content, const crypto::Digest& cluster_id, Epoch epoch,
                    const crypto::Signer* signer) {
    crypto::CanonicalWriter writer(fixed_bytes + content.operations.size() + signature_bytes);
    writer.raw(client_id_of(content.key).bytes)
        .raw(content.key.bytes)
        .number(content.session.value)
        .number(content.seq0.value)
        .number(content.count)
        .number(content.not_after.packed)
        .number(content.ack_low.value)
        .sized(content.operations);
    crypto::Signature signature;
    if (signer != nullptr) {
        const crypto::Digest digest = crypto::digest_of("env", writer.view());
        signature = signer->sign(signed_bytes({cluster_id, epoch}, SignDomain::submit, digest.view()));
    }
    return writer.signature(signature).take();
}

Bytes make_body(const std::vector<Envelope>& envelopes) {
    std::size_t size = 0;
    for (const Envelope& envelope : envelopes) {
        size += 4 + envelope.bytes.size();
    }
    crypto::CanonicalWriter writer(size);
    for (const Envelope& envelope : envelopes) {
        writer.sized(envelope.bytes);
    }
    return writer.take();
}

Result<std::vector<Envelope>> parse_body(const SharedBytes& body) {
    LOYAL_ASSERT(body != nullptr, "a body is given, if only an empty one");
    if (body->size() > limits::body_bytes_max) {
        return fail(Errc::invalid_argument, "block body over the size limit");
    }
    std::vector<Envelope> envelopes;
    crypto::CanonicalReader reader(*body);
    std::size_t operations = 0;
    while (reader.ok() && reader.left() != 0) {
        const ByteView bytes = reader.sized(limits::envelope_bytes_max);
        if (!reader.ok()) {
            break;
        }
        auto envelope = parse_envelope(bytes, body);
        if (!envelope) {
            return tl::unexpected(envelope.error());
        }
        operations += envelope->count;
        if (envelopes.size() == limits::block_envelopes_max || operations > limits::block_ops_max) {
            return fail(Errc::invalid_argument, "block holds too many envelopes or operations");
        }
        envelopes.push_back(std::move(*envelope));
    }
    if (!reader.finish()) {
        return fail(Errc::invalid_argument, "block body is cut short");
    }
    return envelopes;
}

}  // namespace loyal::consensus
