#include "client/backup/verify.h"

#include <optional>
#include <utility>

#include "client/backup/backup_file.h"
#include "client/backup/root_calculator.h"
#include "consensus/verifier.h"
#include "crypto/canonical.h"
#include "crypto/identity.h"

namespace loyal::backup {
namespace {

class Verification {
 public:
    Verification(const std::filesystem::path& path, const OnRecord& on_record, const OnProgress& on_progress)
        : path_(path), on_record_(on_record), on_progress_(on_progress) {}

    [[nodiscard]] Result<BackupFacts> run();

 private:
    [[nodiscard]] tl::unexpected<Error> wrong(const std::string& why) const {
        return fail(Errc::corrupted, path_.string() + " cannot be trusted: " + why);
    }
    [[nodiscard]] Result<Bytes> payload_of(SectionKind kind);
    [[nodiscard]] Result<void> read_cluster();
    [[nodiscard]] Result<void> read_proof();
    [[nodiscard]] Result<void> read_records();
    [[nodiscard]] Result<void> take(const kvstore::StateRecord& record, std::optional<kvstore::StateMeta>& meta);
    [[nodiscard]] Result<void> check_state(const std::optional<kvstore::StateMeta>& meta, ByteView end);

    const std::filesystem::path& path_;
    const OnRecord& on_record_;
    const OnProgress& on_progress_;
    std::unique_ptr<BackupReader> reader_;
    std::optional<RootCalculator> root_;
    BackupFacts facts_;
};

Result<Bytes> Verification::payload_of(SectionKind kind) {
    auto section = reader_->next();
    if (!section) {
        return tl::unexpected(section.error());
    }
    if (section->kind != kind) {
        return wrong("its sections are not in order");
    }
    return std::move(section->payload);
}

Result<void> Verification::read_cluster() {
    const auto text = payload_of(SectionKind::cluster);
    if (!text) {
        return tl::unexpected(text.error());
    }
    auto cluster = config::parse_cluster(text_of(*text), path_);
    if (!cluster) {
        return wrong("its cluster file: " + cluster.error().message);
    }
    facts_.cluster = std::move(*cluster);
    root_.emplace(kvstore::salt_of(facts_.cluster.salt_id()));
    return {};
}

Result<void> Verification::read_proof() {
    const auto bytes = payload_of(SectionKind::proof);
    if (!bytes) {
        return tl::unexpected(bytes.error());
    }
    auto proof = consensus::decode_checkpoint_proof(*bytes);
    if (!proof) {
        return wrong("its certificate: " + proof.error().message);
    }
    const consensus::Membership membership = facts_.cluster.membership();
    const crypto::Ed25519Verifier signatures;
    if (auto checked = consensus::MessageVerifier(membership, signatures).check_checkpoint(*proof); !checked) {
        return fail(Errc::unauthentic, path_.string() + ": its certificate is not one of cluster " +
                                           facts_.cluster.cluster_id.short_hex() + ": " + checked.error().message);
    }
    facts_.proof = std::move(*proof);
    return {};
}

Result<void> Verification::take(const kvstore::StateRecord& record, std::optional<kvstore::StateMeta>& meta) {
    if (auto added = root_->add(record); !added) {
        return wrong(added.error().message);
    }
    switch (record.table) {
        case kvstore::StateTable::keys: {
            const auto view = kvstore::decode_key_record(record.content);
            if (!view) {
                return wrong(view.error().message);
            }
            facts_.keys += view->deleted() ? 0 : 1;
            facts_.value_bytes += view->value.size();
            break;
        }
        case kvstore::StateTable::sessions: ++facts_.sessions; break;
        case kvstore::StateTable::meta: {
            auto decoded = kvstore::decode_meta(record.content);
            if (!decoded || text_of(record.key) != kvstore::meta_key) {
                return wrong("the state says nothing sensible of itself");
            }
            meta = std::move(*decoded);
            break;
        }
        case kvstore::StateTable::history:
        case kvstore::StateTable::leases:
        case kvstore::StateTable::lease_items:
        case kvstore::StateTable::locks:
        case kvstore::StateTable::clients: break;
    }
    return on_record_ ? on_record_(facts_, record) : Result<void>();
}

Result<void> Verification::read_records() {
    std::optional<kvstore::StateMeta> meta;
    while (true) {
        auto section = reader_->next();
        if (!section) {
            return tl::unexpected(section.error());
        }
        if (section->kind == SectionKind::end) {
            return check_state(meta, section->payload);
        }
        const auto records = section->kind == SectionKind::records
                                 ? kvstore::decode_records(section->payload)
                                 : Result<std::vector<kvstore::StateRecord>>(wrong("its sections are not in order"));
        if (!records) {
            return wrong(records.error().message);
        }
        for (const kvstore::StateRecord& record : *records) {
            if (auto taken = take(record, meta); !taken) {
                return taken;
            }
        }
        if (on_progress_) {
            on_progress_(reader_->fraction());
        }
    }
}

Result<void> Verification::check_state(const std::optional<kvstore::StateMeta>& meta, ByteView end) {
    crypto::CanonicalReader in(end);
    if (in.number<std::uint64_t>() != root_->records() || !in.finish()) {
        return wrong("records are missing");
    }
    if (root_->finish() != facts_.proof.root().root) {
        return wrong("its records are not those that the certificate is about");
    }
    // The state under the root names the block that it is the state after.
    const crypto::Digest block = consensus::header_id(facts_.cluster.membership().context, facts_.proof.block);
    if (!meta || meta->height != facts_.proof.block.height || meta->block != block) {
        return wrong("its certificate is about another block than its state");
    }
    facts_.meta = *meta;
    return {};
}

Result<BackupFacts> Verification::run() {
    auto reader = BackupReader::open(path_);
    if (!reader) {
        return tl::unexpected(reader.error());
    }
    reader_ = std::move(*reader);
    facts_.file_bytes = reader_->bytes();
    return read_cluster()
        .and_then([this] { return read_proof(); })
        .and_then([this] { return read_records(); })
        .map([this] { return std::move(facts_); });
}

}  // namespace

Result<BackupFacts> verify_backup(const std::filesystem::path& path, const OnRecord& on_record,
                                  const OnProgress& on_progress) {
    return Verification(path, on_record, on_progress).run();
}

}  // namespace loyal::backup
