#include "consensus/messages.h"

#include <array>
#include <utility>

#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::consensus {
namespace {

using crypto::CanonicalReader;
using crypto::CanonicalWriter;

void write(CanonicalWriter& writer, const BlockRef& ref) {
    writer.number(ref.height.value).digest(ref.id);
}
void write(CanonicalWriter& writer, const Lock& lock) {
    writer.number(static_cast<std::uint64_t>(lock.view.value));
    write(writer, lock.block);
}
void write(CanonicalWriter& writer, const Prepared& prepared) {
    writer.number(prepared.view.value);
    write(writer, prepared.block);
}
void write(CanonicalWriter& writer, const Header& header) {
    writer.number(header.view.value)
        .number(header.height.value)
        .digest(header.parent)
        .digest(header.body_root)
        .number(header.body_bytes)
        .number(header.envelopes)
        .number(header.hlc.packed)
        .number(header.executed.value)
        .digest(header.executed_digest)
        .number(header.checkpoint.value)
        .digest(header.checkpoint_root)
        .number(header.flags);
}
void write_content(CanonicalWriter& writer, const Vote& vote) {
    writer.number(vote.view.value);
    write(writer, vote.prep);
    write(writer, vote.com);
    writer.number(vote.voter.value);
}
void write(CanonicalWriter& writer, const Vote& vote) {
    write_content(writer, vote);
    writer.signature(vote.signature);
}
void write_content(CanonicalWriter& writer, const ViewChange& message) {
    writer.number(message.new_view.value);
    write(writer, message.lock);
    write(writer, message.last_prep);
    writer.number(message.voter.value);
}
void write(CanonicalWriter& writer, const Certificate& certificate) {
    writer.number(static_cast<std::uint8_t>(certificate.kind)).number(certificate.view.value);
    write(writer, certificate.target);
    writer.number(static_cast<std::uint16_t>(certificate.path.size()));
    for (const Header& header : certificate.path) {
        write(writer, header);
    }
    writer.number(static_cast<std::uint16_t>(certificate.votes.size()));
    for (const Vote& vote : certificate.votes) {
        write(writer, vote);
    }
}
void write_optional(CanonicalWriter& writer, const std::optional<Certificate>& certificate) {
    writer.number(static_cast<std::uint8_t>(certificate ? 1 : 0));
    if (certificate) {
        write(writer, *certificate);
    }
}

View read_view(CanonicalReader& reader) {
    const View view(reader.number<std::uint64_t>());
    if (view.value > limits::view_max) {
        reader.reject();
    }
    return view;
}
Height read_height(CanonicalReader& reader) {
    const Height height(reader.number<std::uint64_t>());
    if (height.value > limits::height_max) {
        reader.reject();
    }
    return height;
}
ReplicaId read_replica(CanonicalReader& reader) {
    const ReplicaId replica(reader.number<std::uint16_t>());
    if (replica.value >= limits::replicas_max) {
        reader.reject();
    }
    return replica;
}
BlockRef read_ref(CanonicalReader& reader) {
    const Height height = read_height(reader);
    return {height, reader.digest()};
}
Lock read_lock(CanonicalReader& reader) {
    Lock lock;
    lock.view.value = static_cast<std::int64_t>(reader.number<std::uint64_t>());
    if (lock.view.value < -1 || lock.view.value > static_cast<std::int64_t>(limits::view_max)) {
        reader.reject();
    }
    lock.block = read_ref(reader);
    return lock;
}
Header read_header(CanonicalReader& reader) {
    Header header;
    header.view = read_view(reader);
    header.height = read_height(reader);
    header.parent = reader.digest();
    header.body_root = reader.digest();
    header.body_bytes = reader.number<std::uint32_t>();
    header.envelopes = reader.number<std::uint32_t>();
    header.hlc = Hlc(reader.number<std::uint64_t>());
    header.executed = read_height(reader);
    header.executed_digest = reader.digest();
    header.checkpoint = read_height(reader);
    header.checkpoint_root = reader.digest();
    header.flags = reader.number<std::uint8_t>();
    if (header.flags > (flag_end | flag_empty) || header.body_bytes > limits::body_bytes_max ||
        header.envelopes > limits::block_envelopes_max) {
        reader.reject();
    }
    return header;
}
Vote read_vote(CanonicalReader& reader) {
    Vote vote;
    vote.view = read_view(reader);
    vote.prep = read_ref(reader);
    vote.com = read_ref(reader);
    vote.voter = read_replica(reader);
    vote.signature = reader.signature();
    // One encoding of "no commit head": all zero.
    if (vote.com.height.value == 0 && !vote.com.id.is_zero()) {
        reader.reject();
    }
    return vote;
}
Certificate read_certificate(CanonicalReader& reader) {
    Certificate certificate;
    const auto kind = reader.number<std::uint8_t>();
    if (kind != static_cast<std::uint8_t>(CertKind::prepare) && kind != static_cast<std::uint8_t>(CertKind::commit)) {
        reader.reject();
    }
    certificate.kind = static_cast<CertKind>(kind);
    certificate.view = read_view(reader);
    certificate.target = read_header(reader);
    const auto path = reader.number<std::uint16_t>();
    if (path > limits::window_max) {
        reader.reject();
    }
    for (std::uint16_t i = 0; i < path && reader.ok(); ++i) {
        certificate.path.push_back(read_header(reader));
    }
    const auto votes = reader.number<std::uint16_t>();
    if (votes > limits::replicas_max) {
        reader.reject();
    }
    for (std::uint16_t i = 0; i < votes && reader.ok(); ++i) {
        certificate.votes.push_back(read_vote(reader));
    }
    return certificate;
}
std::optional<Certificate> read_optional(CanonicalReader& reader) {
    const auto present = reader.number<std::uint8_t>();
    if (present > 1) {
        reader.reject();
    }
    if (present != 1 || !reader.ok()) {
        return std::nullopt;
    }
    return read_certificate(reader);
}
ViewChange read_view_change(CanonicalReader& reader) {
    ViewChange message;
    message.new_view = read_view(reader);
    message.lock = read_lock(reader);
    message.last_prep.view = read_view(reader);
    message.last_prep.block = read_ref(reader);
    message.voter = read_replica(reader);
    message.signature = reader.signature();
    message.certificate = read_optional(reader);
    return message;
}

template <class T>
Result<T> finish(const CanonicalReader& reader, T value, const char* what) {
    if (!reader.finish()) {
        return fail(Errc::invalid_argument, std::string("malformed ") + what);
    }
    return value;
}

}  // namespace

Bytes signed_bytes(const ClusterContext& context, SignDomain domain, ByteView body) {
    CanonicalWriter writer(4 + 1 + 32 + 4 + body.size());
    return writer.raw(view_of("LKV1"))
        .number(static_cast<std::uint8_t>(domain))
        .digest(context.cluster_id)
        .number(context.epoch.value)
        .raw(body)
        .take();
}

Bytes encode_header(const Header& header) {
    CanonicalWriter writer(header_bytes);
    write(writer, header);
    return writer.take();
}

Bytes encode_signed_header(const Block& block) {
    CanonicalWriter writer(header_bytes + block.signature.bytes.size());
    write(writer, block.header);
    return writer.signature(block.signature).take();
}

Result<Header> decode_header(ByteView bytes) {
    CanonicalReader reader(bytes);
    Header header = read_header(reader);
    return finish(reader, std::move(header), "block header");
}

crypto::Digest header_id(const ClusterContext& context, const Header& header) {
    CanonicalWriter writer(36 + header_bytes);
    writer.digest(context.cluster_id).number(context.epoch.value);
    write(writer, header);
    return crypto::digest_of("hdr", writer.view());
}

BlockRef genesis_block(const ClusterContext& context) {
    CanonicalWriter writer;
    writer.digest(context.cluster_id).number(context.epoch.value);
    return {Height(0), crypto::digest_of("genesis", writer.view())};
}

crypto::Digest body_root_of(ByteView body) {
    return crypto::digest_of("body", body);
}

const char* name_of(const PeerMessage& message) {
    static constexpr std::array<const char*, std::variant_size_v<PeerMessage>> names = {
        "PROPOSE", "VOTE",    "VIEW-CHANGE", "NEW-VIEW",       "RELAY",       "HEARTBEAT",
        "FETCH",   "BLOCKS",  "PRE-VOTE",    "PRE-VOTE-GRANT", "CLOCK-PROBE", "CLOCK-ANSWER",
        "ECHO",    "RECOVER", "RECOVER-ACK", "STATE-REQUEST",  "STATE-CHUNK"};
    return names.at(message.index());
}

Bytes vote_content(const Vote& vote) {
    CanonicalWriter writer(96);
    write_content(writer, vote);
    return writer.take();
}

Bytes view_change_content(const ViewChange& message) {
    CanonicalWriter writer(128);
    write_content(writer, message);
    return writer.take();
}

Bytes new_view_content(const NewView& message) {
    CanonicalWriter writer(64 + message.view_changes.size() * 128);
    writer.number(message.view.value);
    write(writer, message.base);
    writer.number(message.leader.value).number(static_cast<std::uint16_t>(message.view_changes.size()));
    for (const ViewChange& change : message.view_changes) {
        write_content(writer, change);
    }
    return writer.take();
}

Bytes encode_vote(const Vote& vote) {
    CanonicalWriter writer(160);
    write(writer, vote);
    return writer.take();
}

Result<Vote> decode_vote(ByteView bytes) {
    CanonicalReader reader(bytes);
    Vote vote = read_vote(reader);
    return finish(reader, std::move(vote), "vote");
}

Bytes encode_certificate(const Certificate& certificate) {
    CanonicalWriter writer(256 + certificate.path.size() * header_bytes + certificate.votes.size() * 160);
    write(writer, certificate);
    return writer.take();
}

Result<Certificate> decode_certificate(ByteView bytes) {
    CanonicalReader reader(bytes);
    Certificate certificate = read_certificate(reader);
    return finish(reader, std::move(certificate), "certificate");
}

Bytes encode_checkpoint_proof(const CheckpointProof& proof) {
    CanonicalWriter writer(512 + (1 + proof.headers.size()) * header_bytes);
    write(writer, proof.block);
    writer.number(static_cast<std::uint16_t>(proof.headers.size()));
    for (const Header& header : proof.headers) {
        write(writer, header);
    }
    write_optional(writer, proof.commit);
    return writer.take();
}

Result<CheckpointProof> decode_checkpoint_proof(ByteView bytes) {
    CanonicalReader reader(bytes);
    CheckpointProof proof;
    proof.block = read_header(reader);
    const auto headers = reader.number<std::uint16_t>();
    if (headers > limits::fetch_blocks_max) {
        reader.reject();
    }
    for (std::uint16_t i = 0; i < headers && reader.ok(); ++i) {
        proof.headers.push_back(read_header(reader));
    }
    proof.commit = read_optional(reader);
    return finish(reader, std::move(proof), "checkpoint proof");
}

Bytes encode_view_change(const ViewChange& message) {
    CanonicalWriter writer(256);
    write_content(writer, message);
    writer.signature(message.signature);
    write_optional(writer, message.certificate);
    return writer.take();
}

Result<ViewChange> decode_view_change(ByteView bytes) {
    CanonicalReader reader(bytes);
    ViewChange message = read_view_change(reader);
    return finish(reader, std::move(message), "view change");
}

Bytes encode_new_view(const NewView& message) {
    CanonicalWriter writer(512 + message.view_changes.size() * 200);
    writer.number(message.view.value);
    write(writer, message.base);
    writer.number(message.leader.value).number(static_cast<std::uint16_t>(message.view_changes.size()));
    for (const ViewChange& change : message.view_changes) {
        write_content(writer, change);
        writer.signature(change.signature);
    }
    write_optional(writer, message.certificate);
    writer.signature(message.signature);
    return writer.take();
}

Result<NewView> decode_new_view(ByteView bytes) {
    CanonicalReader reader(bytes);
    NewView message;
    message.view = read_view(reader);
    message.base = read_lock(reader);
    message.leader = read_replica(reader);
    const auto count = reader.number<std::uint16_t>();
    if (count > limits::replicas_max) {
        reader.reject();
    }
    for (std::uint16_t i = 0; i < count && reader.ok(); ++i) {
        ViewChange change;
        change.new_view = read_view(reader);
        change.lock = read_lock(reader);
        change.last_prep.view = read_view(reader);
        change.last_prep.block = read_ref(reader);
        change.voter = read_replica(reader);
        change.signature = reader.signature();
        message.view_changes.push_back(std::move(change));
    }
    message.certificate = read_optional(reader);
    message.signature = reader.signature();
    return finish(reader, std::move(message), "new view");
}

Bytes encode_block(const Block& block) {
    CanonicalWriter writer(header_bytes + 64 + 4 + block.body->size());
    write(writer, block.header);
    writer.signature(block.signature).sized(*block.body);
    return writer.take();
}

Result<BlockPtr> decode_block(const ClusterContext& context, ByteView bytes) {
    CanonicalReader reader(bytes);
    const Header header = read_header(reader);
    const crypto::Signature signature = reader.signature();
    const ByteView body = reader.sized(limits::body_bytes_max);
    if (!reader.finish()) {
        return fail(Errc::invalid_argument, "malformed block");
    }
    return make_block(context, header, signature, std::make_shared<const Bytes>(body.begin(), body.end()));
}

Result<BlockPtr> make_block(const ClusterContext& context, const Header& header, const crypto::Signature& signature,
                            SharedBytes body) {
    if (header.height.value == 0) {
        return fail(Errc::invalid_argument, "a block's height is above the genesis block's");
    }
    if (body->size() != header.body_bytes || body_root_of(*body) != header.body_root) {
        return fail(Errc::corrupted, "block body does not match its header");
    }
    auto envelopes = parse_body(body);
    if (!envelopes) {
        return tl::unexpected(envelopes.error());
    }
    const bool marked_empty = (header.flags & flag_empty) != 0;
    if (envelopes->size() != header.envelopes || envelopes->empty() != marked_empty) {
        return fail(Errc::corrupted, "block body does not hold what its header says");
    }
    auto block = std::make_shared<Block>();
    block->header = header;
    block->signature = signature;
    block->body = std::move(body);
    block->id = header_id(context, header);
    block->envelopes = std::move(*envelopes);
    return BlockPtr(std::move(block));
}

}  // namespace loyal::consensus
