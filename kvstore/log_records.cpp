#include "kvstore/log_records.h"

#include "crypto/canonical.h"
#include "crypto/seal.h"

namespace loyal::kvstore {

namespace {

using consensus::BlockRef;
using consensus::Height;
using consensus::View;
using crypto::CanonicalReader;
using crypto::CanonicalWriter;

constexpr std::size_t digest_bytes = 32;

tl::unexpected<Error> malformed(const std::string& what) {
    return fail(Errc::corrupted, "malformed " + what);
}

Bytes seal_payload(ByteView key, RecordKind kind, ByteView payload) {
    CanonicalWriter out(1 + payload.size());
    out.number(static_cast<std::uint8_t>(kind)).raw(payload);
    return crypto::seal(records_table_name, key, out.view());
}

void write_ref(CanonicalWriter& out, const BlockRef& ref) {
    out.number(ref.height.value).digest(ref.id);
}

BlockRef read_ref(CanonicalReader& in) {
    BlockRef ref;
    ref.height = Height(in.number<std::uint64_t>());
    ref.id = in.digest();
    return ref;
}

void write_voting(CanonicalWriter& out, const consensus::VotingState& voting) {
    out.number(voting.promised.value).number(voting.entered.value);
    out.number(static_cast<std::uint64_t>(voting.leading));
    out.number(voting.prep.view.value);
    write_ref(out, voting.prep.block);
    out.number(static_cast<std::uint64_t>(voting.lock.view.value));
    write_ref(out, voting.lock.block);
    out.number(static_cast<std::uint8_t>(voting.amnesiac ? 1 : 0));
}

std::optional<consensus::VotingState> read_voting(CanonicalReader& in) {
    consensus::VotingState voting;
    voting.promised = View(in.number<std::uint64_t>());
    voting.entered = View(in.number<std::uint64_t>());
    voting.leading = static_cast<std::int64_t>(in.number<std::uint64_t>());
    voting.prep.view = View(in.number<std::uint64_t>());
    voting.prep.block = read_ref(in);
    voting.lock.view.value = static_cast<std::int64_t>(in.number<std::uint64_t>());
    voting.lock.block = read_ref(in);
    const auto amnesiac = in.number<std::uint8_t>();
    voting.amnesiac = amnesiac == 1;
    return amnesiac > 1 ? std::nullopt : std::optional(voting);
}

}  // namespace

Bytes sequence_key(LogSequence sequence) {
    Bytes key(8);
    for (std::size_t i = 0; i < key.size(); ++i) {
        key[i] = static_cast<std::uint8_t>(sequence >> (8U * (7U - i)));
    }
    return key;
}

Result<LogSequence> decode_sequence_key(ByteView key) {
    if (key.size() != 8) {
        return malformed("key in the table of log records");
    }
    LogSequence sequence = 0;
    for (const std::uint8_t byte : key) {
        sequence = sequence << 8U | byte;
    }
    return sequence;
}

std::string name_of_record(LogSequence sequence) {
    return "log record " + std::to_string(sequence);
}

Bytes seal_mark(ByteView key) {
    return seal_payload(key, RecordKind::mark, {});
}

Bytes seal_lost(ByteView key, LogSequence first) {
    CanonicalWriter out(sizeof first);
    out.number(first);
    return seal_payload(key, RecordKind::lost, out.view());
}

Bytes seal_record(ByteView key, const consensus::BlockRecord& record) {
    const Bytes block = consensus::encode_block(*record.block);
    CanonicalWriter out(digest_bytes + block.size());
    out.digest(record.block->id).raw(block);
    return seal_payload(key, RecordKind::block, out.view());
}

Bytes seal_record(ByteView key, const consensus::LockRecord& record) {
    return seal_payload(key, RecordKind::lock, consensus::encode_certificate(record.certificate));
}

Bytes seal_record(ByteView key, const consensus::NewViewRecord& record) {
    return seal_payload(key, RecordKind::new_view, consensus::encode_new_view(record.message));
}

Bytes seal_record(ByteView key, const consensus::ViewChangeRecord& record) {
    return seal_payload(key, RecordKind::view_change, consensus::encode_view_change(record.message));
}

Bytes seal_record(ByteView key, const consensus::CommitRecord& record) {
    CanonicalWriter out;
    write_ref(out, record.block);
    out.number(static_cast<std::uint8_t>(record.certificate ? 1 : 0));
    if (record.certificate) {
        out.raw(consensus::encode_certificate(*record.certificate));
    }
    return seal_payload(key, RecordKind::commit, out.view());
}

Bytes seal_record(ByteView key, const consensus::EvidenceRecord& record) {
    return seal_payload(key, RecordKind::evidence, consensus::encode_evidence(record.evidence));
}

Bytes seal_record(ByteView key, const consensus::InstalledRecord& record) {
    return seal_payload(key, RecordKind::installed, consensus::encode_header(record.block));
}

Result<RecordKind> kind_of(ByteView sealed) {
    if (sealed.size() <= crypto::seal_bytes || sealed[0] > static_cast<std::uint8_t>(RecordKind::lost)) {
        return malformed("record of unknown kind");
    }
    return static_cast<RecordKind>(sealed[0]);
}

Result<ByteView> open_record(ByteView key, ByteView sealed, RecordKind kind) {
    const auto content = crypto::unseal(records_table_name, key, sealed);
    if (!content) {
        return content;
    }
    if (content->empty() || (*content)[0] != static_cast<std::uint8_t>(kind)) {
        return malformed("record of another kind");
    }
    return content->subspan(1);
}

Result<LogSequence> open_lost(ByteView key, ByteView sealed) {
    const auto kind = kind_of(sealed);
    if (!kind || *kind != RecordKind::lost) {  // nothing else is hashed for this
        return malformed("record of what was lost");
    }
    const auto payload = open_record(key, sealed, RecordKind::lost);
    if (!payload) {
        return tl::unexpected(payload.error());
    }
    CanonicalReader in(*payload);
    const auto first = in.number<LogSequence>();
    return in.finish() ? Result<LogSequence>(first) : malformed("record of what was lost");
}

Result<std::optional<consensus::LogRecord>> open_any_record(ByteView key, ByteView sealed) {
    using Opened = std::optional<consensus::LogRecord>;
    const auto kind = kind_of(sealed);
    if (!kind) {
        return tl::unexpected(kind.error());
    }
    const auto content = open_record(key, sealed, *kind);
    if (!content) {
        return tl::unexpected(content.error());
    }
    switch (*kind) {
        case RecordKind::mark:
        case RecordKind::lost: return Opened();
        case RecordKind::lock:
            return consensus::decode_certificate(*content).map([](consensus::Certificate&& certificate) {
                return Opened(consensus::LockRecord{std::move(certificate)});
            });
        case RecordKind::new_view:
            return consensus::decode_new_view(*content).map(
                [](consensus::NewView&& message) { return Opened(consensus::NewViewRecord{std::move(message)}); });
        case RecordKind::view_change:
            return consensus::decode_view_change(*content).map([](consensus::ViewChange&& message) {
                return Opened(consensus::ViewChangeRecord{std::move(message)});
            });
        case RecordKind::commit:
            return decode_commit(*content).map(
                [](consensus::CommitRecord&& commit) { return Opened(std::move(commit)); });
        case RecordKind::evidence:
            return consensus::decode_evidence(*content).map(
                [](consensus::Evidence&& evidence) { return Opened(consensus::EvidenceRecord{std::move(evidence)}); });
        case RecordKind::installed:
            return consensus::decode_header(*content).map(
                [](const consensus::Header& header) { return Opened(consensus::InstalledRecord{header}); });
        case RecordKind::block: break;
    }
    return malformed("record where no block is expected");
}

Result<consensus::CommitRecord> decode_commit(ByteView payload) {
    CanonicalReader in(payload);
    consensus::CommitRecord record;
    record.block = read_ref(in);
    const auto has_certificate = in.number<std::uint8_t>();
    const ByteView rest = in.raw(in.left());
    if (!in.ok() || has_certificate > 1 || (has_certificate == 0 && !rest.empty())) {
        return malformed("commit record");
    }
    if (has_certificate == 1) {
        auto certificate = consensus::decode_certificate(rest);
        if (!certificate) {
            return tl::unexpected(certificate.error());
        }
        record.certificate = std::move(*certificate);
    }
    return record;
}

Result<consensus::BlockPtr> open_block(const consensus::ClusterContext& context, ByteView key, ByteView sealed) {
    const auto payload = open_record(key, sealed, RecordKind::block);
    if (!payload) {
        return tl::unexpected(payload.error());
    }
    CanonicalReader in(*payload);
    const crypto::Digest id = in.digest();
    auto block = consensus::decode_block(context, in.raw(in.left()));
    if (block && (*block)->id != id) {
        return malformed("block: it has another id");
    }
    return block;
}

Result<BlockHead> open_block_head(const consensus::ClusterContext& context, ByteView sealed) {
    CanonicalReader in(sealed);
    const auto kind = in.number<std::uint8_t>();
    BlockHead head;
    head.ref.id = in.digest();
    const ByteView header = in.raw(consensus::header_bytes);
    if (!in.ok() || kind != static_cast<std::uint8_t>(RecordKind::block)) {
        return malformed("block record");
    }
    auto decoded = consensus::decode_header(header);
    if (!decoded) {
        return tl::unexpected(decoded.error());
    }
    head.header = *decoded;
    head.ref.height = head.header.height;
    if (consensus::header_id(context, head.header) != head.ref.id) {
        return malformed("block: its header does not match its id, or it belongs to another cluster");
    }
    return head;
}

Bytes seal_vote_copy(std::string_view table, const VoteCopy& copy) {
    CanonicalWriter out(256);
    out.number(log_format).number(copy.sequence).number(copy.first);
    write_ref(out, copy.base);
    out.number(static_cast<std::uint8_t>(copy.voting ? 1 : 0));
    if (copy.voting) {
        write_voting(out, *copy.voting);
    }
    return crypto::seal(table, view_of(vote_key), out.view());
}

Result<VoteCopy> open_vote_copy(std::string_view table, ByteView sealed) {
    const auto content = crypto::unseal(table, view_of(vote_key), sealed);
    if (!content) {
        return tl::unexpected(content.error());
    }
    CanonicalReader in(*content);
    if (const auto format = in.number<std::uint16_t>(); format != log_format) {
        return fail(Errc::corrupted, "the log is stored in format " + std::to_string(format) + ", this program knows " +
                                         std::to_string(log_format));
    }
    VoteCopy copy;
    copy.sequence = in.number<std::uint64_t>();
    copy.first = in.number<std::uint64_t>();
    copy.base = read_ref(in);
    const auto has_voting = in.number<std::uint8_t>();
    if (has_voting == 1) {
        copy.voting = read_voting(in);
    }
    if (!in.finish() || has_voting > 1 || (has_voting == 1 && !copy.voting)) {
        return malformed("voting state");
    }
    return copy;
}

}  // namespace loyal::kvstore
