// Backups of a cluster in memory: taken from liars, moved on, damaged in every place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <optional>

#include "client/backup/backup_file.h"
#include "client/backup/restore.h"
#include "client/backup/root_calculator.h"
#include "client/backup/take.h"
#include "client/backup/verify.h"
#include "crypto/canonical.h"
#include "tests/unit/client/backup_world.h"
#include "tests/unit/config/temporary_folder.h"

namespace loyal::backup {
namespace {

using loyal::test::entries_in;
using loyal::test::read_text;
using loyal::test::TemporaryFolder;
using loyal::test::write_text;
using test::interval;
using test::MemorySource;
using test::sample_cluster;
using test::sample_data;
using test::Snapshot;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class Backup : public testing::Test {
 protected:
    void everybody_has(std::uint64_t height, std::size_t keys, const std::string& flavour = "") {
        const auto snapshot = std::make_shared<const Snapshot>(cluster, height, sample_data(keys, flavour));
        for (auto& each : source.current) {
            each = snapshot;
        }
    }
    [[nodiscard]] TakeOptions options() const {
        TakeOptions options;
        options.cluster = cluster;
        options.cluster_text = config::render_cluster(cluster);
        options.path = folder / "backup";
        options.patience_ms = 3'000;
        return options;
    }
    [[nodiscard]] std::filesystem::path path() const { return folder / "backup"; }
    void expect_backup_of(std::uint64_t height, std::size_t keys, const std::string& flavour = "") const {
        std::map<std::string, std::string> found;
        const auto facts = verify_backup(path(), [&](const BackupFacts&, const kvstore::StateRecord& record) {
            if (record.table == kvstore::StateTable::keys) {
                found[string_of(record.key)] = string_of(kvstore::decode_key_record(record.content)->value);
            }
            return Result<void>();
        });
        ASSERT_TRUE(facts) << facts.error().message;
        EXPECT_EQ(facts->meta.height, consensus::Height(height));
        EXPECT_EQ(facts->keys, keys);
        EXPECT_EQ(facts->cluster.cluster_id, cluster.cluster_id);
        EXPECT_EQ(found, sample_data(keys, flavour));
    }

    const TemporaryFolder folder;
    config::Cluster cluster = sample_cluster();
    MemorySource source{4};
};

TEST_F(Backup, holds_every_record_and_proves_itself) {
    everybody_has(interval, 500);
    const auto report = take_backup(options(), source);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->root, source.current[0]->proof().root());
    EXPECT_EQ(report->records, 502U);
    EXPECT_THAT(report->notes, IsEmpty());
    expect_backup_of(interval, 500);
    const auto facts = verify_backup(path());
    EXPECT_TRUE(facts->proved_by_signatures());
    EXPECT_EQ(facts->meta.revision, kvstore::Revision(500));
    EXPECT_EQ(facts->sessions, 1U);
    EXPECT_EQ(entries_in(folder.path()), 1U) << "the temporary files are gone";
    EXPECT_EQ(source.asked.size(), 4U) << "all replicas share the work";
}

TEST_F(Backup, does_without_replicas_that_lie_and_names_them) {
    everybody_has(interval, 500);
    source.spoil = [](consensus::ReplicaId replica, const consensus::StateRequest&, consensus::StateChunk& chunk) {
        if (replica.value == 2 && chunk.content && !chunk.content->empty()) {
            Bytes content = *chunk.content;
            content.back() ^= 1U;
            chunk.content = std::make_shared<const Bytes>(std::move(content));
        }
    };
    const auto report = take_backup(options(), source);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_THAT(report->notes, Contains(HasSubstr("replica 2 sent")));
    expect_backup_of(interval, 500);
}

TEST_F(Backup, does_without_replicas_that_are_away) {
    everybody_has(interval, 200);
    source.unreachable[consensus::ReplicaId(1)] = Error{Errc::unavailable, "connection refused"};
    source.unreachable[consensus::ReplicaId(3)] = Error{Errc::unavailable, "connection refused"};
    const auto report = take_backup(options(), source);
    ASSERT_TRUE(report) << report.error().message;
    expect_backup_of(interval, 200);
}

TEST_F(Backup, takes_the_newest_certificate_that_verifies) {
    everybody_has(interval, 10);
    source.current[1] = std::make_shared<const Snapshot>(cluster, 2 * interval, sample_data(20));
    source.current[2] = std::make_shared<const Snapshot>(cluster, 3 * interval, sample_data(30));
    source.spoil_proof = [](consensus::ReplicaId replica, consensus::CheckpointProof& proof) {
        if (replica.value == 2) {
            proof.headers[0].checkpoint_root = crypto::digest_of("false", {});
        }
    };
    const auto report = take_backup(options(), source);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_THAT(report->notes, Contains(HasSubstr("replica 2 sent a certificate that does not verify")));
    expect_backup_of(2 * interval, 20);
}

TEST_F(Backup, follows_a_cluster_that_has_forgotten_the_checkpoint) {
    everybody_has(interval, 2'000, "old ");
    source.before_part = [this](std::size_t answered) {
        if (answered == 400) {
            everybody_has(4 * interval, 2'100, "new ");
        }
    };
    const auto report = take_backup(options(), source);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_THAT(report->notes, Contains(HasSubstr("went on from checkpoint 64 to 256")));
    expect_backup_of(4 * interval, 2'100, "new ");
}

TEST_F(Backup, says_how_far_away_the_first_checkpoint_is) {
    const auto report = take_backup(options(), source);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::not_found);
    EXPECT_THAT(report.error().message, HasSubstr("10 more blocks"));
    EXPECT_EQ(entries_in(folder.path()), 0U);
}

TEST_F(Backup, says_why_nobody_could_be_asked) {
    for (std::uint16_t id = 0; id < 4; ++id) {
        source.unreachable[consensus::ReplicaId(id)] = Error{Errc::permission, "only a client with the admin right"};
    }
    const auto report = take_backup(options(), source);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::permission);
}

TEST_F(Backup, gives_up_when_nothing_comes) {
    everybody_has(interval, 100);
    source.before_part = [this](std::size_t answered) {
        if (answered == 50) {
            for (std::uint16_t id = 0; id < 4; ++id) {
                source.unreachable[consensus::ReplicaId(id)] = Error{Errc::unavailable, "connection refused"};
            }
        }
    };
    TakeOptions impatient = options();
    impatient.patience_ms = 200;
    const auto report = take_backup(impatient, source);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::unavailable);
    EXPECT_EQ(entries_in(folder.path()), 0U);
}

TEST_F(Backup, replaces_a_file_only_when_told) {
    everybody_has(interval, 10);
    write_text(path(), "mine");
    const auto refused = take_backup(options(), source);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::conflict);
    EXPECT_EQ(read_text(path()), "mine");
    TakeOptions forced = options();
    forced.force = true;
    ASSERT_TRUE(take_backup(forced, source));
    expect_backup_of(interval, 10);
}

TEST_F(Backup, of_the_crash_model_is_whole_but_not_proved) {
    cluster = sample_cluster(consensus::FaultModel::crash);
    everybody_has(interval, 10);
    ASSERT_TRUE(take_backup(options(), source));
    const auto facts = verify_backup(path());
    ASSERT_TRUE(facts) << facts.error().message;
    EXPECT_FALSE(facts->proved_by_signatures());
}

TEST_F(Backup, with_any_flipped_byte_is_refused) {
    everybody_has(interval, 60);
    ASSERT_TRUE(take_backup(options(), source));
    const std::string good = read_text(path());
    const auto damaged = folder / "damaged";
    for (std::size_t at = 0; at < good.size(); at += at < 64 || at + 64 > good.size() ? 1 : 97) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x20);
        write_text(damaged, bad);
        EXPECT_FALSE(verify_backup(damaged)) << "byte " << at << " of " << good.size();
    }
}

TEST_F(Backup, cut_anywhere_or_lengthened_is_refused) {
    everybody_has(interval, 60);
    ASSERT_TRUE(take_backup(options(), source));
    const std::string good = read_text(path());
    const auto damaged = folder / "damaged";
    for (std::size_t size = 0; size < good.size(); size += size < 64 || size + 64 > good.size() ? 1 : 53) {
        write_text(damaged, good.substr(0, size));
        EXPECT_FALSE(verify_backup(damaged)) << "cut to " << size << " of " << good.size();
    }
    write_text(damaged, good + '\0');
    EXPECT_FALSE(verify_backup(damaged));
    write_text(damaged, good + good);
    EXPECT_FALSE(verify_backup(damaged));
}

// ---- Files that are whole but lie: the checksum is right, the content is not.

struct Forged {
    std::optional<std::string> cluster_text;
    std::optional<consensus::CheckpointProof> proof;
    std::function<void(std::vector<kvstore::StateRecord>&)> records;
};

class ForgedBackup : public Backup {
 protected:
    // Why it is refused; empty: it is not.
    std::string refusal_of(const Forged& forged) {
        const auto snapshot = std::make_shared<const Snapshot>(cluster, interval, sample_data(20));
        std::error_code ignored;
        std::filesystem::remove(path(), ignored);
        auto writer = BackupWriter::create(path());
        EXPECT_TRUE((*writer)->add(SectionKind::cluster,
                                   view_of(forged.cluster_text.value_or(config::render_cluster(cluster)))));
        EXPECT_TRUE((*writer)->add(SectionKind::proof,
                                   consensus::encode_checkpoint_proof(forged.proof.value_or(snapshot->proof()))));
        std::vector<kvstore::StateRecord> records;
        for (const auto& [name, record] : snapshot->records()) {
            records.push_back(record);
        }
        if (forged.records) {
            forged.records(records);
        }
        EXPECT_TRUE((*writer)->add(SectionKind::records, kvstore::encode_records(records)));
        crypto::CanonicalWriter end;
        end.number(static_cast<std::uint64_t>(records.size()));
        EXPECT_TRUE((*writer)->add(SectionKind::end, end.view()));
        EXPECT_TRUE((*writer)->finish());
        const auto facts = verify_backup(path());
        return facts ? "" : facts.error().message;
    }
};

TEST_F(ForgedBackup, untouched_is_accepted) {
    EXPECT_EQ(refusal_of({}), "");
}

TEST_F(ForgedBackup, with_other_records_is_refused) {
    EXPECT_THAT(refusal_of({{}, {}, [](auto& records) { records.pop_back(); }}), HasSubstr("not those"));
    EXPECT_THAT(refusal_of({{}, {}, [](auto& records) { records[3].content.back() ^= 1U; }}), HasSubstr("not those"));
    EXPECT_THAT(refusal_of({{}, {}, [](auto& records) { std::swap(records[3], records[4]); }}),
                HasSubstr("out of order"));
    EXPECT_THAT(refusal_of({{}, {}, [](auto& records) { records.insert(records.begin(), records.front()); }}),
                HasSubstr("out of order"));
}

TEST_F(ForgedBackup, with_another_certificate_is_refused) {
    const Snapshot other(cluster, interval, sample_data(21));
    EXPECT_THAT(refusal_of({{}, other.proof(), {}}), HasSubstr("not those"));
    consensus::CheckpointProof unsigned_proof = other.proof();
    unsigned_proof.commit->votes.pop_back();
    EXPECT_THAT(refusal_of({{}, unsigned_proof, {}}), HasSubstr("certificate is not one of cluster"));
    consensus::CheckpointProof block = Snapshot(cluster, interval, sample_data(20)).proof();
    block.block.view = consensus::View(9);
    EXPECT_THAT(refusal_of({{}, block, {}}), HasSubstr("another block"));
}

TEST_F(ForgedBackup, of_a_cluster_with_other_keys_is_refused) {
    config::Cluster other = cluster;
    std::swap(other.replicas[0].public_key, other.replicas[3].public_key);
    other.cluster_id = config::compute_cluster_id(other);
    EXPECT_THAT(refusal_of({config::render_cluster(other), {}, {}}), HasSubstr("certificate is not one of cluster"));
    EXPECT_THAT(refusal_of({"[cluster]\n", {}, {}}), HasSubstr("cluster file"));
}

// ---- What comes along

TEST_F(Backup, restored_records_are_the_users_data_and_nothing_else) {
    everybody_has(interval, 5);
    std::size_t keys = 0, sessions = 0, metas = 0;
    for (const auto& [name, record] : source.current[0]->records()) {
        const auto restored = restored_record(record);
        ASSERT_TRUE(restored);
        switch (record.table) {
            case kvstore::StateTable::keys:
                ++keys;
                EXPECT_EQ(*restored, record) << "value, revisions and timestamp stay";
                break;
            case kvstore::StateTable::history:
            case kvstore::StateTable::leases:
            case kvstore::StateTable::lease_items:
            case kvstore::StateTable::locks: EXPECT_EQ(*restored, record); break;
            case kvstore::StateTable::clients: EXPECT_FALSE(*restored) << "the new cluster has its own"; break;
            case kvstore::StateTable::sessions:
                ++sessions;
                EXPECT_FALSE(*restored);
                break;
            case kvstore::StateTable::meta: {
                ++metas;
                const auto before = kvstore::decode_meta(record.content);
                const auto after = kvstore::decode_meta((*restored)->content);
                ASSERT_TRUE(after) << after.error().message;
                EXPECT_EQ(after->height, consensus::Height(0));
                EXPECT_TRUE(after->block.is_zero());
                EXPECT_EQ(after->revision, before->revision);
                EXPECT_EQ(after->hlc, before->hlc);
                break;
            }
        }
    }
    EXPECT_EQ(keys, 5U);
    EXPECT_EQ(sessions, 1U);
    EXPECT_EQ(metas, 1U);
}

}  // namespace
}  // namespace loyal::backup
