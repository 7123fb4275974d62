// Golden bytes: what stands in vectors/ was written by the first release and must be read by every later one. Each line
// is a name and the frame in hexadecimal; vectors/README.md says what is in each. LOYAL_WRITE_VECTORS=1 writes new
// lines for messages that have none; a line that is there is never changed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/unit/wire/arbitrary.h"
#include "wire/codec.h"

namespace loyal::wire {
namespace {

using namespace consensus;

template <class Fixed>
Fixed filled(std::uint8_t with) {
    Fixed value;
    value.bytes.fill(with);
    return value;
}
ClusterContext vector_context() {
    return {filled<crypto::Digest>(0xC1), Epoch(2)};
}

Envelope example_envelope() {
    EnvelopeContent content;
    content.key = filled<crypto::PublicKey>(0xA1);
    content.session = SessionId(77);
    content.seq0 = Seq(5);
    content.count = 2;
    content.not_after = Hlc(1'700'000'000'000, 9);
    content.ack_low = Seq(4);
    content.operations = kvstore::encode_operations(
        {kvstore::Put{bytes_of("key"), bytes_of("value")}, kvstore::Delete{bytes_of("gone")}});
    return *parse_envelope(std::make_shared<const Bytes>(
        make_envelope(content, vector_context().cluster_id, vector_context().epoch, nullptr)));
}

BlockPtr example_block() {
    const auto body = std::make_shared<const Bytes>(make_body({example_envelope()}));
    Header header;
    header.view = View(3);
    header.height = Height(40);
    header.parent = filled<crypto::Digest>(0x11);
    header.body_root = body_root_of(*body);
    header.body_bytes = static_cast<std::uint32_t>(body->size());
    header.envelopes = 1;
    header.hlc = Hlc(1'700'000'000'001, 0);
    header.executed = Height(32);
    header.executed_digest = filled<crypto::Digest>(0x12);
    return *make_block(vector_context(), header, filled<crypto::Signature>(0x51), body);
}

Vote example_vote() {
    return {View(3),
            {Height(40), filled<crypto::Digest>(0x13)},
            {Height(39), filled<crypto::Digest>(0x14)},
            ReplicaId(2),
            filled<crypto::Signature>(0x52)};
}
Certificate example_certificate() {
    return {CertKind::commit, View(3), example_block()->header, {}, {example_vote()}};
}
// Of height 32, with an interval of 8: carried by the header of height 40.
CheckpointProof example_checkpoint() {
    Header carrier = example_block()->header;
    carrier.checkpoint = Height(32);
    carrier.checkpoint_root = filled<crypto::Digest>(0x17);
    Header at = example_block()->header;
    at.height = Height(32);
    at.executed = Height(24);
    Certificate commit = example_certificate();
    commit.target = carrier;
    return {at, {carrier}, commit};
}
ViewChange example_view_change() {
    ViewChange message;
    message.new_view = View(4);
    message.lock.view = LockView(View(3));
    message.lock.block = {Height(39), filled<crypto::Digest>(0x14)};
    message.last_prep = {View(3), {Height(40), filled<crypto::Digest>(0x13)}};
    message.voter = ReplicaId(1);
    message.signature = filled<crypto::Signature>(0x53);
    return message;
}

std::map<std::string, PeerMessage> peer_examples() {
    ViewChange with_certificate = example_view_change();
    with_certificate.certificate = example_certificate();
    NewView new_view;
    new_view.view = View(4);
    new_view.base = example_view_change().lock;
    new_view.view_changes = {example_view_change()};
    new_view.certificate = example_certificate();
    new_view.leader = ReplicaId(0);
    new_view.signature = filled<crypto::Signature>(0x54);
    Blocks blocks;
    blocks.headers = {example_block()->header};
    blocks.commit = example_certificate();
    blocks.blocks = {example_block()};
    Blocks offer;
    offer.checkpoint = example_checkpoint();
    const ViewChange echoed = example_view_change();
    return {
        {"propose", Propose{example_block(), Height(38)}},
        {"vote", example_vote()},
        {"view_change", with_certificate},
        {"new_view", new_view},
        {"relay", Relay{example_envelope()}},
        {"heartbeat", Heartbeat{View(3), View(4), Height(38), Height(40)}},
        {"fetch_committed", Fetch{Fetch::What::committed, Height(12), {}}},
        {"fetch_by_id", Fetch{Fetch::What::by_id, Height(0), {filled<crypto::Digest>(0x15)}}},
        {"blocks", blocks},
        {"pre_vote", PreVote{View(9)}},
        {"pre_vote_grant", PreVoteGrant{View(9)}},
        {"clock_probe", ClockProbe{7}},
        {"clock_answer", ClockAnswer{7, 8, 9}},
        {"blocks_checkpoint", offer},
        {"echo", Echo{example_vote(), echoed}},
        {"recover", Recover{21}},
        {"recover_ack", RecoverAck{21, View(4), new_view, {}}},
        {"recover_ack_view_changes", RecoverAck{21, View(4), std::nullopt, {echoed, echoed}}},
        {"state_request", StateRequest{Height(32), StatePart::records, 513, {LeafName{2, 1, 9}}}},
        {"state_chunk",
         StateChunk{Height(32), StatePart::leaves, 513, true, std::make_shared<const Bytes>(bytes_of("leaves"))}},
        {"state_chunk_none", StateChunk{Height(32), StatePart::subtree, 0, false, std::make_shared<const Bytes>()}}};
}

std::map<std::string, ClientMessage> client_examples() {
    kvstore::Range range;
    range.begin = bytes_of("a");
    range.end = bytes_of("b");
    range.limit = 10;
    range.keys_only = true;
    return {
        {"submit", Submit{example_envelope()}},
        {"read", Read{6, range, Height(40), true, false}},
        {"read_leases", Read{7, kvstore::LeaseQuery{{}, kvstore::LeaseId(12), 100}, Height(40), true, false}},
        {"read_lock", Read{8, kvstore::LockQuery{bytes_of("name")}, Height(40), false, false}},
        {"status_request", StatusRequest{8}},
        {"control", Control{9, "equivocate"}},
        {"checkpoint_ask", CheckpointAsk{10}},
        {"receipt_ask", ReceiptAsk{12, SessionId(77), Seq(5), Height(40)}},
        {"state_proof_ask", StateProofAsk{13, bytes_of("key")}},
        {"state_ask", StateAsk{11, {Height(128), consensus::StatePart::records, 513, {consensus::LeafName{2, 1, 9}}}}}};
}

// Of the second of three leaves.
kvstore::Receipt example_receipt() {
    kvstore::Receipt receipt;
    receipt.client = client_id_of(filled<crypto::PublicKey>(0xA1));
    receipt.session = SessionId(77);
    receipt.operation = kvstore::encode_operation(kvstore::Put{bytes_of("key"), bytes_of("value")});
    receipt.outcome = {
        Seq(5), Height(40), View(3), Hlc(1'700'000'000'001, 0), kvstore::Revision(101), kvstore::Status::ok, {}};
    receipt.leaf = 1;
    receipt.leaves = 3;
    receipt.path = {filled<crypto::Digest>(0x21), filled<crypto::Digest>(0x22)};
    receipt.previous = filled<crypto::Digest>(0x23);
    receipt.block_id = filled<crypto::Digest>(0x24);
    receipt.effects = filled<crypto::Digest>(0x25);
    return receipt;
}
kvstore::StateProof example_state_proof() {
    kvstore::StateProof proof;
    proof.certified = kvstore::CertifiedRoot{example_checkpoint().headers, View(3), {example_vote()}};
    proof.record.key = bytes_of("key");
    proof.record.content = bytes_of("content");
    proof.record.neighbours = {{LeafName{2, 1, 9}, filled<crypto::Digest>(0x26)}};
    proof.record.siblings[2][15] = filled<crypto::Digest>(0x27);
    proof.meta.table = kvstore::StateTable::meta;
    proof.meta.key = bytes_of("state");
    return proof;
}

std::map<std::string, ReplicaMessage> replica_examples() {
    const kvstore::Outcome outcome{
        Seq(5), Height(40), View(3), Hlc(1'700'000'000'001, 0), kvstore::Revision(101), kvstore::Status::mismatch, {}};
    const Reply reply{
        ReplicaId(2),
        SessionId(77),
        View(3),
        Hlc(1'700'000'000'002, 1),
        {{Seq(5), outcome, kvstore::outcome_digest(outcome)}, {Seq(6), {}, filled<crypto::Digest>(0x16)}}};
    ReadReply read;
    read.replica = ReplicaId(1);
    read.nonce = 6;
    const kvstore::Item item{
        bytes_of("a1"),      bytes_of("v"), kvstore::Revision(7), kvstore::Revision(6), 2, Hlc(1'700'000'000'000, 3),
        kvstore::LeaseId(12)};
    read.result = kvstore::encode_query_answer({kvstore::Status::ok, kvstore::encode_range_result({{item}, false, 1})});
    read.digest = crypto::digest_of("read", *read.result);
    read.revision = kvstore::Revision(101);
    read.executed = Height(40);
    read.lock = Height(40);
    read.hlc = Hlc(1'700'000'000'001, 0);
    ReadReply digest_only = read;
    digest_only.result.reset();
    return {{"welcome", Welcome{ReplicaId(3), View(7), ReplicaId(3), Hlc(1'700'000'000'002, 1)}},
            {"reply", reply},
            {"refusal", Refusal{ReplicaId(1), RefusalCode::disk_full, false, SessionId(77), 5, "the disk is full"}},
            {"read_reply", read},
            {"read_reply_digest", digest_only},
            {"status_reply", StatusReply{8, R"({"id":1})"}},
            {"control_reply", ControlReply{9, "equivocate"}},
            {"checkpoint_answer_none", CheckpointAnswer{10, std::nullopt, Height(40)}},
            {"receipt_answer", ReceiptAnswer{12, example_receipt(), filled<crypto::Signature>(0x55)}},
            {"state_proof_answer", StateProofAnswer{13, example_state_proof()}},
            {"state_answer", StateAnswer{11,
                                         {Height(128), consensus::StatePart::leaves, 513, true,
                                          std::make_shared<const Bytes>(bytes_of("leaves"))}}}};
}

std::map<std::string, std::string> read_lines(const std::string& path) {
    std::map<std::string, std::string> lines;
    std::ifstream file(path);
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream in(line);
        std::string name;
        std::string hex;
        if (in >> name >> hex) {
            lines[name] = hex;
        }
    }
    return lines;
}

Bytes from_hex(const std::string& hex) {
    Bytes bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        bytes.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    return bytes;
}

template <class Message, class Decode>
void check(const std::string& kind, const std::map<std::string, Message>& examples, Decode decode) {
    const std::string path = std::string(VECTOR_FOLDER) + "/" + kind + ".txt";
    auto lines = read_lines(path);
    if (std::getenv("LOYAL_WRITE_VECTORS") != nullptr) {
        std::ofstream file(path, std::ios::app);
        for (const auto& [name, message] : examples) {
            if (!lines.contains(name)) {
                file << name << ' ' << to_hex(encode(message)) << '\n';
            }
        }
        file.close();
        lines = read_lines(path);
    }
    for (const auto& [name, message] : examples) {
        ASSERT_TRUE(lines.contains(name)) << name << " has no line in " << path;
        const Bytes golden = from_hex(lines[name]);
        const auto decoded = decode(golden);
        ASSERT_TRUE(decoded) << name << ": " << decoded.error().message;
        EXPECT_TRUE(test::same(message, *decoded)) << name << " is read as something else";
        EXPECT_EQ(to_hex(encode(message)), lines[name]) << name << " is written in another way";
    }
    EXPECT_EQ(lines.size(), examples.size()) << path << " has lines that nothing is compared with";
}

TEST(Vectors, between_replicas) {
    check("peer", peer_examples(), [](ByteView bytes) { return decode_peer(vector_context(), bytes); });
}
TEST(Vectors, client_to_replica) {
    check("client", client_examples(), [](ByteView bytes) { return decode_client(bytes); });
}
TEST(Vectors, replica_to_client) {
    check("replica", replica_examples(), [](ByteView bytes) { return decode_replica(bytes); });
}

}  // namespace
}  // namespace loyal::wire
