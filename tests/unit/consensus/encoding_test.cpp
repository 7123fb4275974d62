// Canonical encodings: one encoding a value, the same bytes for ever, and nothing else is accepted.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "config/limits.h"
#include "crypto/canonical.h"
#include "tests/unit/consensus/test_cluster.h"

namespace loyal::consensus::test {
namespace {

template <class T>
T number_below(std::uint64_t bound) {
    return static_cast<T>(*rc::gen::inRange<std::uint64_t>(0, bound));
}
crypto::Digest any_digest() {
    crypto::Digest digest;
    for (std::uint8_t& byte : digest.bytes) {
        byte = number_below<std::uint8_t>(256);
    }
    return digest;
}
crypto::Signature any_signature() {
    crypto::Signature signature;
    signature.bytes.fill(number_below<std::uint8_t>(256));
    return signature;
}
Height any_height() {
    return Height(number_below<std::uint64_t>(limits::height_max));
}
View any_view() {
    return View(number_below<std::uint64_t>(limits::view_max));
}
BlockRef any_ref() {
    return {any_height(), any_digest()};
}
ReplicaId any_replica() {
    return ReplicaId(number_below<std::uint16_t>(limits::replicas_max));
}
Lock any_lock() {
    return number_below<int>(3) == 0 ? Lock{LockView(), any_ref()} : Lock{LockView(any_view()), any_ref()};
}
Header any_header() {
    Header header;
    header.view = any_view();
    header.height = any_height();
    header.parent = any_digest();
    header.body_root = any_digest();
    header.body_bytes = number_below<std::uint32_t>(limits::body_bytes_max);
    header.envelopes = number_below<std::uint32_t>(limits::block_envelopes_max);
    header.hlc = Hlc(number_below<std::uint64_t>(~std::uint64_t{0}));
    header.executed = any_height();
    header.executed_digest = any_digest();
    header.checkpoint = any_height();
    header.checkpoint_root = any_digest();
    header.flags = number_below<std::uint8_t>(4);
    return header;
}
Vote any_vote() {
    Vote vote{any_view(), any_ref(), {}, any_replica(), any_signature()};
    if (number_below<int>(2) == 0) {
        vote.com = {Height(1 + number_below<std::uint64_t>(1000)), any_digest()};
    }
    return vote;
}
template <class T, class Make>
std::vector<T> some(std::size_t at_most, const Make& make) {
    std::vector<T> made;
    for (std::size_t i = number_below<std::size_t>(at_most + 1); i > 0; --i) {
        made.push_back(make());
    }
    return made;
}
Certificate any_certificate() {
    return {number_below<int>(2) == 0 ? CertKind::prepare : CertKind::commit, any_view(), any_header(),
            some<Header>(3, any_header), some<Vote>(4, any_vote)};
}
ViewChange any_view_change(bool attached) {
    ViewChange message{any_view(), any_lock(), {any_view(), any_ref()}, any_replica(), any_signature(), {}};
    if (attached && number_below<int>(2) == 0) {
        message.certificate = any_certificate();
    }
    return message;
}
NewView any_new_view() {
    NewView message;
    message.view = any_view();
    message.base = any_lock();
    message.view_changes = some<ViewChange>(4, [] { return any_view_change(false); });
    if (number_below<int>(2) == 0) {
        message.certificate = any_certificate();
    }
    message.leader = any_replica();
    message.signature = any_signature();
    return message;
}

// What decodes again encodes to the same bytes; every truncation and every byte too many is refused; a changed byte is
// refused or is another value.
template <class Decode, class Encode>
void check_strict(const Bytes& bytes, const Decode& decode, const Encode& encode) {
    const auto decoded = decode(ByteView(bytes));
    RC_ASSERT(decoded.has_value());
    RC_ASSERT(encode(*decoded) == bytes);
    const ByteView view(bytes);
    const std::size_t cut = number_below<std::size_t>(bytes.size());
    for (const std::size_t size : {std::size_t{0}, cut, bytes.size() - 1}) {
        RC_ASSERT(!decode(view.first(size)).has_value());
    }
    Bytes longer = bytes;
    longer.push_back(number_below<std::uint8_t>(256));
    RC_ASSERT(!decode(ByteView(longer)).has_value());
    Bytes other = bytes;
    other[number_below<std::size_t>(other.size())] ^= static_cast<std::uint8_t>(1 + number_below<std::uint8_t>(255));
    const auto changed = decode(ByteView(other));
    const bool same_or_refused = !changed.has_value() || encode(*changed) == other;
    RC_ASSERT(same_or_refused);
}

RC_GTEST_PROP(Encoding, votes, ()) {
    check_strict(encode_vote(any_vote()), decode_vote, encode_vote);
}
RC_GTEST_PROP(Encoding, headers, ()) {
    check_strict(encode_header(any_header()), decode_header, encode_header);
}
RC_GTEST_PROP(Encoding, certificates, ()) {
    check_strict(encode_certificate(any_certificate()), decode_certificate, encode_certificate);
}
RC_GTEST_PROP(Encoding, view_changes, ()) {
    check_strict(encode_view_change(any_view_change(true)), decode_view_change, encode_view_change);
}
RC_GTEST_PROP(Encoding, new_views, ()) {
    check_strict(encode_new_view(any_new_view()), decode_new_view, encode_new_view);
}

RC_GTEST_PROP(Encoding, envelopes_and_bodies, ()) {
    EnvelopeContent content;
    content.key.bytes[3] = number_below<std::uint8_t>(256);
    content.session = SessionId(number_below<std::uint64_t>(1U << 30U));
    content.seq0 = Seq(1 + number_below<std::uint64_t>(1U << 30U));
    content.count = static_cast<std::uint16_t>(1 + number_below<std::uint16_t>(limits::envelope_ops_max));
    content.not_after = Hlc(number_below<std::uint64_t>(1U << 30U));
    content.ack_low = Seq(number_below<std::uint64_t>(1U << 30U));
    content.operations = *rc::gen::arbitrary<Bytes>();
    const sim::SimSigner signer(7);
    const Bytes bytes = make_envelope(content, crypto::digest_of("test", {}), Epoch(1), &signer);
    const auto shared = std::make_shared<const Bytes>(bytes);
    const auto envelope = parse_envelope(shared);
    RC_ASSERT(envelope.has_value());
    RC_ASSERT(envelope->session == content.session);
    RC_ASSERT(envelope->count == content.count);
    RC_ASSERT(Bytes(envelope->operations.begin(), envelope->operations.end()) == content.operations);
    RC_ASSERT(!parse_envelope(std::make_shared<const Bytes>(bytes.begin(), bytes.end() - 1)).has_value());
    Bytes longer = bytes;
    longer.push_back(0);
    RC_ASSERT(!parse_envelope(std::make_shared<const Bytes>(longer)).has_value());
    Bytes renamed = bytes;
    renamed[number_below<std::size_t>(16 + 32)] ^= 1U;  // the client's name or its key
    RC_ASSERT(!parse_envelope(std::make_shared<const Bytes>(renamed)).has_value());

    const std::vector<Envelope> twice{*envelope, *envelope};
    const auto body = std::make_shared<const Bytes>(make_body(twice));
    const auto parsed = parse_body(body);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(parsed->size() == 2U);
    RC_ASSERT(make_body(*parsed) == *body);
    RC_ASSERT((*parsed)[1].digest == envelope->digest);
    const std::size_t cut = 1 + number_below<std::size_t>(bytes.size() - 1);
    RC_ASSERT(!parse_body(std::make_shared<const Bytes>(body->begin(), body->end() - static_cast<std::ptrdiff_t>(cut)))
                   .has_value());
}

// ---- Golden bytes: a change here is a change of what clusters sign and store. The hashes were computed by another
// program (BLAKE2b with the tag as its personal field).

ClusterContext golden_context() {
    return {crypto::digest_of("golden", view_of("cluster")), Epoch(3)};
}

TEST(EncodingGolden, a_vote) {
    Vote vote;
    vote.view = View(0x0102030405060708);
    vote.prep = {Height(9), {}};
    vote.prep.id.bytes.fill(0xAA);
    vote.com = {Height(8), {}};
    vote.com.id.bytes.fill(0xBB);
    vote.voter = ReplicaId(0x0203);
    const std::string a(64, 'a');
    const std::string b(64, 'b');
    EXPECT_EQ(to_hex(vote_content(vote)),
              "0807060504030201"
              "0900000000000000" +
                  a + "0800000000000000" + b + "0302");
    EXPECT_EQ(encode_vote(vote).size(), 8U + 40 + 40 + 2 + 64);
}

TEST(EncodingGolden, signed_bytes_name_the_kind_the_cluster_and_the_epoch) {
    const ClusterContext context = golden_context();
    EXPECT_EQ(to_hex(signed_bytes(context, SignDomain::vote, view_of("xy"))),
              "4c4b5631"
              "02" +
                  context.cluster_id.hex() +
                  "03000000"
                  "7879");
}

TEST(EncodingGolden, a_header_id) {
    Header header;
    header.view = View(1);
    header.height = Height(2);
    header.body_root = body_root_of({});
    header.hlc = Hlc(1'700'000'000'000, 5);
    header.flags = flag_empty;
    EXPECT_EQ(encode_header(header).size(), header_bytes);
    EXPECT_EQ(header_id(golden_context(), header).hex(),
              "320587d934e461d7037b1928224364a0a56b4086ea329219aded14730ecba67f");
    // Bound to the cluster and to the epoch.
    ClusterContext other = golden_context();
    other.epoch = Epoch(4);
    EXPECT_NE(header_id(golden_context(), header), header_id(other, header));
    EXPECT_NE(genesis_block(golden_context()).id, genesis_block(other).id);
}

TEST(EncodingGolden, an_envelope) {
    EnvelopeContent content;
    content.key.bytes.fill(0x11);
    content.session = SessionId(0x22);
    content.seq0 = Seq(0x33);
    content.count = 2;
    content.not_after = Hlc(0x44);
    content.ack_low = Seq(0x55);
    content.operations = bytes_of("op");
    const Bytes bytes = make_envelope(content, {}, Epoch(0), nullptr);
    EXPECT_EQ(to_hex(bytes), to_hex(client_id_of(content.key).bytes) + std::string(64, '1') +
                                 "2200000000000000"
                                 "3300000000000000"
                                 "0200"
                                 "4400000000000000"
                                 "5500000000000000"
                                 "02000000"
                                 "6f70" +
                                 std::string(128, '0'));
    EXPECT_EQ(parse_envelope(std::make_shared<const Bytes>(bytes))->digest.hex(),
              "3ba424f7299c2e00fb80fcaf5b7c8b075a5caa6da62611caf73c68f6ca67c908");
}

// ---- Bounds

TEST(EncodingBounds, an_envelope_holds_1_to_256_operations_from_sequence_number_1_on) {
    EnvelopeContent content;
    content.seq0 = Seq(1);
    content.count = 1;
    const auto parses = [&] {
        return parse_envelope(std::make_shared<const Bytes>(make_envelope(content, {}, Epoch(0), nullptr))).has_value();
    };
    EXPECT_TRUE(parses());
    content.count = limits::envelope_ops_max;
    EXPECT_TRUE(parses());
    content.count = limits::envelope_ops_max + 1;
    EXPECT_FALSE(parses());
    content.count = 0;
    EXPECT_FALSE(parses());
    content.count = 1;
    content.seq0 = Seq(0);
    EXPECT_FALSE(parses());
    content.seq0 = Seq(limits::height_max);
    EXPECT_FALSE(parses());
    content.seq0 = Seq(1);
    content.operations.resize(limits::envelope_bytes_max);
    EXPECT_FALSE(parses());
}

TEST(EncodingBounds, a_length_over_the_limit_is_refused_before_anything_is_read) {
    crypto::CanonicalWriter writer;
    writer.number(std::uint32_t{0xFFFFFFFF}).raw(view_of("short"));
    EXPECT_FALSE(parse_body(std::make_shared<const Bytes>(writer.take())).has_value());
    EXPECT_FALSE(parse_body(std::make_shared<const Bytes>(limits::body_bytes_max + 1)).has_value());
}

TEST(EncodingBounds, a_block_is_its_header_and_nothing_else) {
    const TestCluster cluster({});
    const BlockPtr block = cluster.block(0, View(0), cluster.genesis(), Hlc(), "x");
    const ClusterContext& context = cluster.membership.context;
    const auto again = decode_block(context, encode_block(*block));
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ((*again)->id, block->id);
    EXPECT_EQ(encode_block(**again), encode_block(*block));
    const auto other_body = std::make_shared<const Bytes>(make_body({cluster.envelope("y")}));
    EXPECT_FALSE(make_block(context, block->header, block->signature, other_body).has_value());
    Header header = block->header;
    header.envelopes = 2;
    EXPECT_FALSE(make_block(context, header, block->signature, block->body).has_value());
    header = block->header;
    header.height = Height(0);
    EXPECT_FALSE(make_block(context, header, block->signature, block->body).has_value());
    header = block->header;
    header.flags = flag_empty;
    EXPECT_FALSE(make_block(context, header, block->signature, block->body).has_value());
}

}  // namespace
}  // namespace loyal::consensus::test
