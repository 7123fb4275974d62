#include "tests/unit/wire/arbitrary.h"

#include <rapidcheck.h>

#include <algorithm>

#include "config/limits.h"

namespace loyal::wire::test {

using namespace consensus;

namespace {

template <class T>
T pick(T min, T max) {  // both included
    return *rc::gen::inRange<T>(min, static_cast<T>(max + 1));
}
// Every kind as often as any other, whatever the size of the test case.
int kind(int max) {
    return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange(0, max + 1));
}
std::uint64_t number() {
    return *rc::gen::arbitrary<std::uint64_t>();
}
bool coin() {
    return *rc::gen::arbitrary<bool>();
}

template <class Fixed>
Fixed fixed() {
    Fixed value;
    const auto bytes = *rc::gen::container<Bytes>(value.bytes.size(), rc::gen::arbitrary<std::uint8_t>());
    std::copy(bytes.begin(), bytes.end(), value.bytes.begin());
    return value;
}

BlockRef any_ref() {
    return {any_height(), any_digest()};
}
Lock any_lock() {
    Lock lock{{}, any_ref()};
    if (coin()) {
        lock.view = LockView(any_view());
    }
    return lock;
}

template <class T, class Make>
std::vector<T> up_to(std::size_t count_max, Make make) {
    std::vector<T> items;
    const auto count = pick<std::size_t>(0, count_max);
    for (std::size_t i = 0; i < count; ++i) {
        items.push_back(make());
    }
    return items;
}

std::optional<Certificate> maybe_certificate() {
    return coin() ? std::optional<Certificate>(any_certificate()) : std::nullopt;
}

}  // namespace

Bytes any_bytes(std::size_t size_max) {
    return *rc::gen::container<Bytes>(pick<std::size_t>(0, size_max), rc::gen::arbitrary<std::uint8_t>());
}
crypto::Digest any_digest() {
    return fixed<crypto::Digest>();
}
crypto::Signature any_signature() {
    return fixed<crypto::Signature>();
}
View any_view() {
    return View(number() % (limits::view_max + 1));
}
Height any_height() {
    return Height(number() % (limits::height_max + 1));
}
ReplicaId any_replica() {
    return ReplicaId(pick<std::uint16_t>(0, limits::replicas_max - 1));
}

Envelope any_envelope() {
    EnvelopeContent content;
    content.key = fixed<crypto::PublicKey>();
    content.session = SessionId(number());
    content.seq0 = Seq(1 + number() % 1'000'000);
    content.count = pick<std::uint16_t>(1, limits::envelope_ops_max);
    content.not_after = Hlc(number());
    content.ack_low = Seq(number());
    content.operations = any_bytes(200);
    auto bytes = make_envelope(content, context().cluster_id, context().epoch, nullptr);
    return *parse_envelope(std::make_shared<const Bytes>(std::move(bytes)));
}

Header any_header() {
    Header header;
    header.view = any_view();
    header.height = any_height();
    header.parent = any_digest();
    header.body_root = any_digest();
    header.body_bytes = pick<std::uint32_t>(0, limits::body_bytes_max);
    header.envelopes = pick<std::uint32_t>(0, limits::block_envelopes_max);
    header.hlc = Hlc(number());
    header.executed = any_height();
    header.executed_digest = any_digest();
    header.checkpoint = any_height();
    header.checkpoint_root = any_digest();
    header.flags = pick<std::uint8_t>(0, flag_end | flag_empty);
    return header;
}

BlockPtr any_block() {
    const auto envelopes = up_to<Envelope>(4, any_envelope);
    auto body = std::make_shared<const Bytes>(make_body(envelopes));
    Header header = any_header();
    header.height = Height(1 + header.height.value % 1'000'000);
    header.body_root = body_root_of(*body);
    header.body_bytes = static_cast<std::uint32_t>(body->size());
    header.envelopes = static_cast<std::uint32_t>(envelopes.size());
    header.flags = envelopes.empty() ? flag_empty : flag_none;
    return *make_block(context(), header, any_signature(), std::move(body));
}

Vote any_vote() {
    Vote vote{any_view(), any_ref(), {}, any_replica(), any_signature()};
    if (coin()) {
        vote.com = {Height(1 + number() % 1'000'000), any_digest()};
    }
    return vote;
}

Certificate any_certificate() {
    return {coin() ? CertKind::prepare : CertKind::commit, any_view(), any_header(), up_to<Header>(3, any_header),
            up_to<Vote>(4, any_vote)};
}

ViewChange any_view_change(bool with_attachment) {
    ViewChange message{any_view(), any_lock(), {any_view(), any_ref()}, any_replica(), any_signature(), {}};
    if (with_attachment) {
        message.certificate = maybe_certificate();
    }
    return message;
}

std::optional<CheckpointProof> maybe_checkpoint() {
    return coin() ? std::optional(CheckpointProof{any_header(), up_to<Header>(3, any_header), maybe_certificate()})
                  : std::nullopt;
}

StateRequest any_state_request();
StateChunk any_state_chunk();

LeafName any_leaf_name() {
    const crypto::Digest digest = any_digest();
    LeafName name{};
    std::copy_n(digest.bytes.begin(), name.size(), name.begin());
    return name;
}

PeerMessage any_peer_message() {
    switch (kind(16)) {
        case 0: return Propose{any_block(), any_height()};
        case 1: return any_vote();
        case 2: return any_view_change(true);
        case 3:
            return NewView{
                any_view(),          any_lock(),    up_to<ViewChange>(4, [] { return any_view_change(false); }),
                maybe_certificate(), any_replica(), any_signature()};
        case 4: return Relay{any_envelope()};
        case 5: return Heartbeat{any_view(), any_view(), any_height(), any_height()};
        case 6:
            return Fetch{static_cast<Fetch::What>(pick<int>(1, 3)), any_height(), up_to<crypto::Digest>(8, any_digest)};
        case 7:
            return Blocks{up_to<Header>(3, any_header), maybe_certificate(), up_to<BlockPtr>(3, any_block),
                          maybe_certificate(), maybe_checkpoint()};
        case 8: return PreVote{any_view()};
        case 9: return PreVoteGrant{any_view()};
        case 10: return ClockProbe{number()};
        case 12:
            return Echo{coin() ? std::optional(any_vote()) : std::nullopt,
                        coin() ? std::optional(any_view_change(false)) : std::nullopt};
        case 13: return Recover{number()};
        case 14: {
            RecoverAck ack{number(), any_view(), std::nullopt,
                           up_to<ViewChange>(4, [] { return any_view_change(false); })};
            if (coin()) {
                ack.new_view = NewView{any_view(),          any_lock(),    {any_view_change(false)},
                                       maybe_certificate(), any_replica(), any_signature()};
            }
            return ack;
        }
        case 15: return any_state_request();
        case 16: return any_state_chunk();
        default: return ClockAnswer{number(), number(), number()};
    }
}

StateRequest any_state_request() {
    return {any_height(), static_cast<StatePart>(pick<int>(1, 3)), pick<std::uint32_t>(0, 0xFFFF),
            up_to<LeafName>(5, any_leaf_name)};
}
StateChunk any_state_chunk() {
    return {any_height(), static_cast<StatePart>(pick<int>(1, 3)), pick<std::uint32_t>(0, 0xFFFF), coin(),
            std::make_shared<const Bytes>(any_bytes(300))};
}

Bytes any_key() {
    Bytes key = any_bytes(40);
    key.push_back('k');
    return key;
}

kvstore::Range any_range() {
    kvstore::Range range;
    range.begin = any_bytes(40);
    if (coin()) {
        range.end = any_bytes(40);
    } else if (range.begin.empty()) {
        range.begin = {1};
    }
    range.limit = static_cast<std::uint32_t>(number());
    range.reverse = coin();
    range.keys_only = coin();
    range.count_only = coin();
    if (coin()) {
        range.revision = kvstore::Revision(pick<std::uint64_t>(1, 1'000'000));
    } else if (coin()) {
        range.at = consensus::Hlc(pick<std::uint64_t>(1, 1'000'000), 0);
    }
    return range;
}

kvstore::Query any_query() {
    switch (kind(2)) {
        case 0: return kvstore::LeaseQuery{{}, kvstore::LeaseId(number()), 3};
        case 1: return kvstore::LockQuery{bytes_of("name")};
        default: return any_range();
    }
}

namespace {

kvstore::ChangeId any_place() {
    return {kvstore::Revision(number()), static_cast<std::uint32_t>(number())};
}
kvstore::KeyRecord any_record(const kvstore::ChangeId& id) {
    kvstore::KeyRecord record;
    record.id = id;
    record.created = kvstore::Revision(number());
    record.version = pick<std::uint64_t>(1, 1'000'000);
    record.timestamp = Hlc(number());
    record.lease = kvstore::LeaseId(number());
    record.value = any_bytes(60);
    return record;
}
kvstore::Change any_change(const kvstore::ChangeId& id) {
    kvstore::Change change;
    change.key = any_bytes(20);
    change.key.push_back('k');
    change.now.id = id;
    change.now.timestamp = Hlc(number());
    if (coin()) {
        change.now = any_record(id);
    }
    if (coin()) {
        change.previous = any_record(any_place());
    } else {
        change.previous_dropped = coin();
    }
    return change;
}
WatchEvents any_events() {
    WatchEvents events;
    events.id = WatchId(number());
    events.nonce = number();
    events.number = number();
    events.after = {kvstore::Revision(pick<std::uint64_t>(0, 1'000'000)), static_cast<std::uint32_t>(number())};
    events.live = coin();
    kvstore::ChangeId at = events.after;
    for (int i = pick<int>(0, 4); i > 0; --i) {
        at = {at.revision.plus(pick<std::uint64_t>(1, 5)), pick<std::uint32_t>(0, 5)};
        events.changes.push_back(any_change(at));
    }
    events.upto = end_of(at.revision);
    return events;
}
Watch any_watch() {
    const kvstore::Range range = any_range();
    return {WatchId(number()), number(), any_place(), range.begin, range.end, coin()};
}

}  // namespace

ClientMessage any_client_message() {
    switch (kind(9)) {
        case 7: return any_watch();
        case 8: return Unwatch{WatchId(number()), number()};
        case 0: return Submit{any_envelope()};
        case 1: return Read{number(), any_query(), any_height(), coin(), coin()};
        case 2: return StatusRequest{number()};
        case 3: return CheckpointAsk{number()};
        case 4: return StateAsk{number(), any_state_request()};
        case 5: return ReceiptAsk{number(), SessionId(number()), Seq(number()), any_height()};
        case 6: return StateProofAsk{number(), any_key()};
        default: return Control{number(), string_of(any_bytes(20))};
    }
}

kvstore::Outcome any_outcome() {
    return {Seq(number()),
            any_height(),
            any_view(),
            Hlc(number()),
            kvstore::Revision(number()),
            static_cast<kvstore::Status>(pick<int>(0, 9)),
            any_bytes(100)};
}

kvstore::Receipt any_receipt() {
    kvstore::Receipt receipt;
    receipt.client = fixed<ClientId>();
    receipt.session = SessionId(number());
    receipt.operation = kvstore::encode_operation(kvstore::Put{any_key(), any_bytes(40)});
    receipt.outcome = any_outcome();
    receipt.leaves = pick<std::uint32_t>(1, 20);
    receipt.leaf = pick<std::uint32_t>(0, receipt.leaves - 1);
    receipt.path = kvstore::ResultTree(std::vector<crypto::Digest>(receipt.leaves, any_digest())).path(receipt.leaf);
    receipt.previous = any_digest();
    receipt.block_id = any_digest();
    receipt.effects = any_digest();
    return receipt;
}

kvstore::RecordProof any_record_proof() {
    kvstore::RecordProof record;
    record.table = static_cast<kvstore::StateTable>(pick<int>(1, 3));
    record.key = any_key();
    if (coin()) {
        record.content = any_bytes(60);
    }
    record.neighbours = up_to<kvstore::Leaf>(4, [] { return kvstore::Leaf{any_leaf_name(), any_digest()}; });
    for (auto& level : record.siblings) {
        level[pick<std::size_t>(0, level.size() - 1)] = any_digest();
    }
    return record;
}

kvstore::StateProof any_state_proof() {
    kvstore::StateProof proof;
    if (coin()) {
        proof.vouched = kvstore::SignedRoot{{any_height(), any_digest()}, any_replica(), any_signature()};
    } else {
        proof.certified = kvstore::CertifiedRoot{{any_header()}, any_view(), up_to<Vote>(4, any_vote)};
    }
    proof.record = any_record_proof();
    proof.meta = any_record_proof();
    return proof;
}

ReplicaMessage any_replica_message() {
    switch (kind(12)) {
        case 9: return any_events();
        case 10: return WatchProgress{any_place(), number()};
        case 11:
            return WatchEnd{WatchId(number()), number(), number(), static_cast<WatchEndReason>(pick<int>(1, 4)),
                            kvstore::Revision(number())};
        case 0: return Welcome{any_replica(), any_view(), any_replica(), Hlc(number())};
        case 1:
            return Reply{any_replica(), SessionId(number()), any_view(), Hlc(number()), up_to<OutcomeReply>(5, [] {
                             if (coin()) {
                                 return OutcomeReply{Seq(number()), {}, any_digest()};
                             }
                             const kvstore::Outcome outcome = any_outcome();
                             return OutcomeReply{outcome.seq, outcome, kvstore::outcome_digest(outcome)};
                         })};
        case 2:
            return Refusal{any_replica(), static_cast<RefusalCode>(pick<int>(1, 9)),
                           coin(),        SessionId(number()),
                           number(),      string_of(any_bytes(60))};
        case 3: {
            ReadReply reply{any_replica(), number(),     any_digest(), {}, kvstore::Revision(number()),
                            any_height(),  any_height(), Hlc(number())};
            if (coin()) {
                reply.result = any_bytes(100);
            }
            return reply;
        }
        case 4: return StatusReply{number(), string_of(any_bytes(60))};
        case 5: return CheckpointAnswer{number(), maybe_checkpoint(), any_height()};
        case 6: return StateAnswer{number(), any_state_chunk()};
        case 7: return ReceiptAnswer{number(), any_receipt(), any_signature()};
        case 8: return StateProofAnswer{number(), any_state_proof()};
        default: return ControlReply{number(), string_of(any_bytes(20))};
    }
}

// ---- Equality

namespace {

bool equal(const Envelope& a, const Envelope& b) {
    return a.client == b.client && a.session == b.session && a.seq0 == b.seq0 && a.count == b.count &&
           a.not_after == b.not_after && a.ack_low == b.ack_low && a.signature == b.signature && a.digest == b.digest &&
           std::ranges::equal(a.operations, b.operations) && std::ranges::equal(a.bytes, b.bytes);
}
bool equal(const BlockPtr& a, const BlockPtr& b) {
    return a->header == b->header && a->signature == b->signature && *a->body == *b->body && a->id == b->id &&
           std::ranges::equal(a->envelopes, b->envelopes, [](const auto& x, const auto& y) { return equal(x, y); });
}
bool equal(const Propose& a, const Propose& b) {
    return equal(a.block, b.block) && a.committed == b.committed;
}
bool equal(const Vote& a, const Vote& b) {
    return a == b;
}
bool equal(const ViewChange& a, const ViewChange& b) {
    return a.new_view == b.new_view && a.lock == b.lock && a.last_prep == b.last_prep && a.voter == b.voter &&
           a.signature == b.signature && a.certificate == b.certificate;
}
bool equal(const NewView& a, const NewView& b) {
    return a.view == b.view && a.base == b.base && a.certificate == b.certificate && a.leader == b.leader &&
           a.signature == b.signature &&
           std::ranges::equal(a.view_changes, b.view_changes, [](const auto& x, const auto& y) { return equal(x, y); });
}
bool equal(const Relay& a, const Relay& b) {
    return equal(a.envelope, b.envelope);
}
bool equal(const Heartbeat& a, const Heartbeat& b) {
    return a.entered == b.entered && a.promised == b.promised && a.committed == b.committed && a.prepared == b.prepared;
}
bool equal(const Fetch& a, const Fetch& b) {
    return a.what == b.what && a.from == b.from && a.ids == b.ids;
}
bool equal(const Blocks& a, const Blocks& b) {
    return a.headers == b.headers && a.commit == b.commit && a.prepare == b.prepare && a.checkpoint == b.checkpoint &&
           std::ranges::equal(a.blocks, b.blocks, [](const auto& x, const auto& y) { return equal(x, y); });
}
bool equal(const PreVote& a, const PreVote& b) {
    return a.new_view == b.new_view;
}
bool equal(const std::optional<ViewChange>& a, const std::optional<ViewChange>& b) {
    return a.has_value() == b.has_value() && (!a || equal(*a, *b));
}
bool equal(const Echo& a, const Echo& b) {
    return a.vote == b.vote && equal(a.view_change, b.view_change);
}
bool equal(const Recover& a, const Recover& b) {
    return a.nonce == b.nonce;
}
bool equal(const RecoverAck& a, const RecoverAck& b) {
    return a.nonce == b.nonce && a.proven == b.proven && a.new_view.has_value() == b.new_view.has_value() &&
           (!a.new_view || equal(*a.new_view, *b.new_view)) &&
           std::ranges::equal(a.view_changes, b.view_changes, [](const auto& x, const auto& y) { return equal(x, y); });
}
bool equal(const StateRequest& a, const StateRequest& b) {
    return a.checkpoint == b.checkpoint && a.part == b.part && a.index == b.index && a.names == b.names &&
           a.count == b.count;
}
bool equal(const StateChunk& a, const StateChunk& b) {
    return a.checkpoint == b.checkpoint && a.part == b.part && a.index == b.index && a.available == b.available &&
           *a.content == *b.content;
}
bool equal(const ClockProbe& a, const ClockProbe& b) {
    return a.sent_us == b.sent_us;
}
bool equal(const ClockAnswer& a, const ClockAnswer& b) {
    return a.probe_us == b.probe_us && a.received_us == b.received_us && a.sent_us == b.sent_us;
}
bool equal(const PreVoteGrant& a, const PreVoteGrant& b) {
    return a.new_view == b.new_view;
}

bool equal(const Submit& a, const Submit& b) {
    return equal(a.envelope, b.envelope);
}
bool equal(const Read& a, const Read& b) {
    return a.nonce == b.nonce && a.min_executed == b.min_executed && a.want_result == b.want_result &&
           a.stale == b.stale && kvstore::encode_query(a.query) == kvstore::encode_query(b.query);
}
bool equal(const StatusRequest& a, const StatusRequest& b) {
    return a.nonce == b.nonce;
}
bool equal(const Control& a, const Control& b) {
    return a.nonce == b.nonce && a.command == b.command;
}

bool equal(const Welcome& a, const Welcome& b) {
    return a.replica == b.replica && a.view == b.view && a.primary == b.primary && a.hlc == b.hlc;
}
bool equal(const Reply& a, const Reply& b) {
    return a.replica == b.replica && a.session == b.session && a.view == b.view && a.hlc == b.hlc &&
           std::ranges::equal(a.outcomes, b.outcomes, [](const auto& x, const auto& y) {
               return x.seq == y.seq && x.outcome == y.outcome && x.digest == y.digest;
           });
}
bool equal(const Refusal& a, const Refusal& b) {
    return a.replica == b.replica && a.code == b.code && a.is_read == b.is_read && a.session == b.session &&
           a.nonce == b.nonce && a.why == b.why;
}
bool equal(const ReadReply& a, const ReadReply& b) {
    return a.replica == b.replica && a.nonce == b.nonce && a.digest == b.digest && a.result == b.result &&
           a.revision == b.revision && a.executed == b.executed && a.lock == b.lock && a.hlc == b.hlc;
}
bool equal(const StatusReply& a, const StatusReply& b) {
    return a.nonce == b.nonce && a.json == b.json;
}
bool equal(const ControlReply& a, const ControlReply& b) {
    return a.nonce == b.nonce && a.text == b.text;
}

bool equal(const CheckpointAsk& a, const CheckpointAsk& b) {
    return a.nonce == b.nonce;
}
bool equal(const StateAsk& a, const StateAsk& b) {
    return a.nonce == b.nonce && equal(a.request, b.request);
}
bool equal(const CheckpointAnswer& a, const CheckpointAnswer& b) {
    return a.nonce == b.nonce && a.proof == b.proof && a.executed == b.executed;
}
bool equal(const ReceiptAsk& a, const ReceiptAsk& b) {
    return a.nonce == b.nonce && a.session == b.session && a.seq == b.seq && a.height == b.height;
}
bool equal(const StateProofAsk& a, const StateProofAsk& b) {
    return a.nonce == b.nonce && a.key == b.key;
}
bool equal(const ReceiptAnswer& a, const ReceiptAnswer& b) {
    return a.nonce == b.nonce && a.receipt == b.receipt && a.signature == b.signature;
}
bool equal(const StateProofAnswer& a, const StateProofAnswer& b) {
    return a.nonce == b.nonce && a.proof == b.proof;
}
bool equal(const StateAnswer& a, const StateAnswer& b) {
    return a.nonce == b.nonce && equal(a.chunk, b.chunk);
}

bool equal(const Watch& a, const Watch& b) {
    return a.id == b.id && a.nonce == b.nonce && a.after == b.after && a.begin == b.begin && a.end == b.end &&
           a.want_previous == b.want_previous;
}
bool equal(const Unwatch& a, const Unwatch& b) {
    return a.id == b.id && a.nonce == b.nonce;
}
bool equal(const WatchEvents& a, const WatchEvents& b) {
    return a.id == b.id && a.nonce == b.nonce && a.number == b.number && a.after == b.after && a.upto == b.upto &&
           a.live == b.live && a.changes == b.changes;
}
bool equal(const WatchProgress& a, const WatchProgress& b) {
    return a.upto == b.upto && a.sent == b.sent;
}
bool equal(const WatchEnd& a, const WatchEnd& b) {
    return a.id == b.id && a.nonce == b.nonce && a.number == b.number && a.reason == b.reason && a.oldest == b.oldest;
}

template <class Variant>
bool same_variant(const Variant& a, const Variant& b) {
    return a.index() == b.index() &&
           std::visit([&b](const auto& each) { return equal(each, std::get<std::decay_t<decltype(each)>>(b)); }, a);
}

}  // namespace

bool same(const PeerMessage& a, const PeerMessage& b) {
    return same_variant(a, b);
}
bool same(const ClientMessage& a, const ClientMessage& b) {
    return same_variant(a, b);
}
bool same(const ReplicaMessage& a, const ReplicaMessage& b) {
    return same_variant(a, b);
}

}  // namespace loyal::wire::test
