// docs/STORAGE.md describes the records to the byte. Its worked examples are read from the document and compared with
// what the program writes and reads.
#include <gtest/gtest.h>

#include <sstream>

#include "kvstore/checkpoint_tables.h"
#include "tests/unit/kvstore/log_support.h"
#include "tests/unit/kvstore/memory_store.h"

namespace loyal::kvstore {
namespace {

using test::must;

// The hexadecimal bytes of the example that begins with "<!-- example: NAME -->": in its fenced block, each line's part
// before "|" counts.
std::string example(const std::string& name) {
    std::istringstream document(test::read_file(STORAGE_DOCUMENT));
    std::string line;
    while (std::getline(document, line) && line.find("<!-- example: " + name + " -->") == std::string::npos) {
    }
    std::getline(document, line);  // opening fence
    std::string hex;
    while (std::getline(document, line) && line.substr(0, 3) != "```") {
        for (const char c : line.substr(0, line.find('|'))) {
            if (c != ' ') {
                hex.push_back(c);
            }
        }
    }
    return hex;
}

// As the store holds them: "rose" stands before "sky".
std::string stored(StateTable table, ByteView key, ByteView content) {
    test::MemoryStore store;
    const auto txn = must(store.begin_write());
    must(create_tables(*txn));
    if (table == StateTable::keys) {
        must(linked_table(table).put(*txn, view_of("rose"), {}));
    }
    must(linked_table(table).put(*txn, key, content));
    return to_hex(*must(txn->get(linked_table(table).index(), key)));
}

TEST(StorageFormat, a_key_record_is_as_documented) {
    KeyRecord record;
    record.id.revision = Revision(7);
    record.created = Revision(3);
    record.version = 2;
    record.timestamp = consensus::Hlc(1'700'000'000'000, std::uint16_t{1});
    record.value = bytes_of("blue");
    const Bytes content = encode_key_record(record.view());
    EXPECT_EQ(stored(StateTable::keys, view_of("sky"), content), example("key"));
    const auto view = must(decode_key_record(content));
    EXPECT_EQ(string_of(view.value), "blue");
    EXPECT_EQ(view.version, 2U);
}

TEST(StorageFormat, the_end_of_a_table_is_as_documented) {
    test::MemoryStore store;
    const auto txn = must(store.begin_write());
    must(create_tables(*txn));
    must(linked_table(StateTable::keys).put(*txn, view_of("sky"), {}));
    EXPECT_EQ(to_hex(*must(txn->get(keys_table, end_key()))), example("end"));
}

TEST(StorageFormat, a_session_record_is_as_documented) {
    SessionKey key;
    key.client.bytes.fill(0x61);
    key.session = consensus::SessionId(258);
    EXPECT_EQ(to_hex(encode_session_key(key)), example("session key"));
    Session session;
    session.acknowledge(consensus::Seq(5));
    const consensus::Hlc hlc(1'700'000'000'000, std::uint16_t{1});
    session.record({consensus::Seq(5), consensus::Height(9), consensus::View(1), hlc, Revision(7), Status::ok, {}},
                   false);
    session.record({consensus::Seq(6), consensus::Height(9), consensus::View(1), hlc, Revision(7), Status::ok, {}},
                   true);
    EXPECT_EQ(stored(StateTable::sessions, encode_session_key(key), encode_session(session)), example("session"));
}

TEST(StorageFormat, a_meta_record_is_as_documented) {
    StateMeta meta;
    meta.height = consensus::Height(9);
    meta.block = crypto::digest_of("example", {});
    meta.hlc = consensus::Hlc(1'700'000'000'000, std::uint16_t{1});
    meta.revision = Revision(7);
    meta.digests.emplace_back(consensus::Height(9), crypto::digest_of("example", {}));
    EXPECT_EQ(stored(StateTable::meta, view_of(meta_key), encode_meta(meta)), example("meta"));
}

TEST(StorageFormat, the_records_of_checkpoints_are_as_documented) {
    const Salt salt = salt_of(crypto::digest_of("example", {}));
    const LeafName name = leaf_name(salt, StateTable::keys, view_of("sky"));
    const Bytes key = pre_key(consensus::Height(64), name);
    EXPECT_EQ(to_hex(key), example("pre key"));
    EXPECT_EQ(to_hex(seal_pre(key, {name, StateTable::keys, view_of("sky"), view_of("blue")})), example("pre"));

    const crypto::Digest digest = leaf_digest(StateTable::keys, view_of("sky"), view_of("blue"));
    const BucketLeaves leaves{{{name, digest}, StateTable::keys, view_of("sky")}};
    EXPECT_EQ(to_hex(bucket_key(bucket_of(name))), example("bucket key"));
    EXPECT_EQ(to_hex(seal_leaves(bucket_of(name), leaves)), example("leaves"));
    const BucketNode node{{consensus::Height(64), bucket_digest(leaves_of(leaves))}, {}};
    EXPECT_EQ(to_hex(seal_node(bucket_of(name), node)), example("node"));
}

TEST(StorageFormat, a_log_record_is_as_documented) {
    consensus::CommitRecord record;
    record.block = {consensus::Height(9), crypto::digest_of("example", {})};
    EXPECT_EQ(to_hex(sequence_key(258)), example("log key"));
    EXPECT_EQ(to_hex(seal_record(sequence_key(258), record)), example("commit"));
}

TEST(StorageFormat, a_voting_state_is_as_documented) {
    VoteCopy copy;
    copy.sequence = 258;
    copy.base = {consensus::Height(0), crypto::digest_of("genesis", {})};
    copy.voting.emplace();
    copy.voting->promised = copy.voting->entered = consensus::View(1);
    copy.voting->leading = 1;
    copy.voting->prep = {consensus::View(1), {consensus::Height(9), crypto::digest_of("example", {})}};
    copy.voting->lock.block = {consensus::Height(0), crypto::digest_of("genesis", {})};
    EXPECT_EQ(to_hex(seal_vote_copy(vote_a_table_name, copy)), example("voting state"));
    EXPECT_EQ(must(open_vote_copy(vote_a_table_name, seal_vote_copy(vote_a_table_name, copy))), copy);
}

}  // namespace
}  // namespace loyal::kvstore
