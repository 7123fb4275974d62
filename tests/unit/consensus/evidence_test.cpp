// Evidence: what convinces, what does not, and that one proof has one encoding (PROTOCOL.md §16).
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "config/limits.h"
#include "consensus/evidence_book.h"
#include "consensus/evidence_parts.h"
#include "tests/unit/consensus/adversary.h"
#include "tests/unit/consensus/prosecutor.h"

namespace loyal::consensus::test {
namespace {

class Proving : public ::testing::Test {
 protected:
    Proving() {
        for (const std::string text : {"1", "2", "3", "4"}) {
            main.push_back(next_of(main, text));
        }
        for (const std::string text : {"a", "b", "c"}) {
            side.push_back(next_of(side, text));
        }
    }
    [[nodiscard]] BlockPtr next_of(const std::vector<BlockPtr>& chain, const std::string& text) const {
        return cluster.block(0, View(0), chain.empty() ? cluster.genesis() : chain.back()->ref(),
                             chain.empty() ? Hlc() : chain.back()->header.hlc, text);
    }
    [[nodiscard]] std::string why_not(const Evidence& evidence) const {
        const auto decoded = decode_evidence(encode_evidence(evidence));
        if (!decoded) {
            return "does not decode: " + decoded.error().message;
        }
        EXPECT_EQ(*decoded, evidence);
        const auto verdict = check_evidence(*cluster.verifier, evidence);
        return verdict ? "" : verdict.error().message;
    }
    [[nodiscard]] NewView new_view(std::vector<ViewChange> changes, std::uint64_t view = 1) const {
        return cluster.new_view(view % 4, View(view), std::move(changes), genesis_lock_of(cluster));
    }
    [[nodiscard]] ViewChange change(std::size_t voter, std::uint64_t view, Prepared last_prep = {}) const {
        return cluster.view_change(voter, View(view), genesis_lock_of(cluster), last_prep);
    }
    [[nodiscard]] BlockPtr with_body(const Bytes& body, std::uint32_t envelopes) const {
        auto block = std::make_shared<Block>(*main[0]);
        block->body = std::make_shared<const Bytes>(body);
        block->header.body_root = body_root_of(body);
        block->header.body_bytes = static_cast<std::uint32_t>(body.size());
        block->header.envelopes = envelopes;
        block->id = header_id(cluster.membership.context, block->header);
        block->signature =
            cluster.signers[0]->sign(signed_bytes(cluster.membership.context, SignDomain::propose, block->id.view()));
        return block;
    }
    [[nodiscard]] std::optional<Evidence> of_body(const Block& block) const {
        return evidence_of_body(*cluster.verifier, block.header, block.signature, *block.body);
    }
    // One of each kind and form.
    [[nodiscard]] std::vector<Evidence> one_of_each() const {
        const Vote high = cluster.vote(2, View(0), main[2]->ref(), main[1]->ref());
        Bytes spoilt = *main[0]->body;
        spoilt.back() ^= 1U;  // of the client's signature
        std::vector<ViewChange> twice = {change(0, 1), change(0, 1), change(2, 1)};
        return {
            evidence_of_proposals(ReplicaId(0), *main[1], *side[1]),
            evidence_of_votes(high, cluster.vote(2, View(0), side[2]->ref()), {}),
            evidence_of_votes(cluster.vote(2, View(0), side[0]->ref()), high, {main[1]->header}),
            *evidence_of_hiding(change(3, 2), cluster.vote(3, View(0), main[1]->ref())),
            *evidence_of_hiding(change(3, 2), cluster.vote(3, View(1), main[1]->ref(), main[0]->ref())),
            of_body(*with_body(spoilt, 1)).value(),
            *evidence_in_refused(*cluster.verifier, new_view(twice)),
            evidence_of_view_changes(change(1, 3), change(1, 3, {View(0), main[0]->ref()})),
            evidence_of_new_views(new_view({change(0, 1), change(1, 1), change(2, 1)}),
                                  new_view({change(0, 1), change(1, 1), change(3, 1)})),
        };
    }

    TestCluster cluster{Shape{4, FaultModel::byzantine, 8, {}, {0, 1, 2, 3}, 10, {}}};
    std::vector<BlockPtr> main, side;  // two chains of view 0
};

TEST_F(Proving, every_kind_convinces) {
    std::set<EvidenceKind> kinds;
    for (const Evidence& evidence : one_of_each()) {
        EXPECT_EQ(why_not(evidence), "") << name_of(evidence.kind);
        kinds.insert(evidence.kind);
        EXPECT_TRUE(subject_of(evidence));
    }
    EXPECT_EQ(kinds.size(), 7U);
}

TEST_F(Proving, not_one_byte_may_differ) {
    for (const Evidence& evidence : one_of_each()) {
        const Bytes bytes = encode_evidence(evidence);
        for (std::size_t at = 0; at < bytes.size(); ++at) {
            for (const unsigned flip : {0x01U, 0x80U, 0xFFU}) {
                Bytes other = bytes;
                other[at] = static_cast<std::uint8_t>(other[at] ^ flip);
                const auto decoded = decode_evidence(other);
                ASSERT_FALSE(decoded && check_evidence(*cluster.verifier, *decoded))
                    << name_of(evidence.kind) << ", byte " << at << " of " << bytes.size();
            }
        }
        for (const std::size_t size : {std::size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
            EXPECT_FALSE(decode_evidence(ByteView(bytes).first(size)));
        }
        Bytes longer = bytes;
        longer.push_back(0);
        EXPECT_FALSE(decode_evidence(longer));
    }
}

TEST_F(Proving, only_in_its_cluster_and_epoch_and_against_its_signer) {
    Membership renamed = cluster.membership;
    renamed.context.cluster_id = crypto::digest_of("test", view_of("another"));
    Membership later = cluster.membership;
    later.context.epoch = Epoch(1);
    Membership crash = cluster.membership;
    crash.fault_model = FaultModel::crash;
    Membership rekeyed = cluster.membership;
    for (auto& key : rekeyed.replicas) {
        key.bytes[0] ^= 1U;
    }
    for (const Membership& membership : {renamed, later, crash, rekeyed}) {
        const MessageVerifier verifier(membership, cluster.signatures);
        for (const Evidence& evidence : one_of_each()) {
            EXPECT_FALSE(check_evidence(verifier, evidence)) << name_of(evidence.kind);
        }
    }
    for (Evidence evidence : one_of_each()) {
        for (const std::uint16_t other : std::vector<std::uint16_t>{0, 1, 2, 3, 4, 30, 65535}) {
            if (ReplicaId(other) != evidence.culprit) {
                Evidence blames = evidence;
                blames.culprit = ReplicaId(other);
                EXPECT_FALSE(check_evidence(*cluster.verifier, blames)) << name_of(evidence.kind);
            }
        }
        std::swap(evidence.first, evidence.second);
        EXPECT_FALSE(check_evidence(*cluster.verifier, evidence)) << "one encoding: " << name_of(evidence.kind);
    }
}

TEST_F(Proving, nothing_may_be_added) {
    for (Evidence evidence : one_of_each()) {
        const Bytes header = encode_header(main[0]->header);
        evidence.path.insert(evidence.path.end(), header.begin(), header.end());
        EXPECT_FALSE(check_evidence(*cluster.verifier, evidence)) << name_of(evidence.kind);
    }
    // What the signer did not sign: an attached certificate, signatures inside a NEW-VIEW.
    ViewChange with = change(1, 3);
    with.certificate = Certificate{CertKind::prepare, View(0), main[0]->header, {}, {}};
    Evidence evidence = evidence_of_view_changes(change(1, 3), change(1, 3, {View(0), main[0]->ref()}));
    for (Bytes* statement : {&evidence.first, &evidence.second}) {
        if (*statement == encode_view_change(change(1, 3))) {
            *statement = encode_view_change(with);
        }
    }
    EXPECT_FALSE(check_evidence(*cluster.verifier, evidence));
    const NewView twice = new_view({change(0, 1), change(0, 1), change(2, 1)});
    evidence = *evidence_in_refused(*cluster.verifier, twice);
    evidence.first = encode_new_view(twice);
    EXPECT_FALSE(check_evidence(*cluster.verifier, evidence));
    NewView attached = *decode_new_view(evidence_in_refused(*cluster.verifier, twice)->first);
    attached.certificate = with.certificate;
    evidence.first = encode_new_view(attached);
    EXPECT_FALSE(check_evidence(*cluster.verifier, evidence));
}

TEST_F(Proving, proposals_of_different_heights_views_or_the_same_are_none) {
    EXPECT_NE(why_not(evidence_of_proposals(ReplicaId(0), *main[0], *side[1])), "");
    EXPECT_NE(why_not(evidence_of_proposals(ReplicaId(0), *main[0], *main[0])), "");
    const BlockPtr later = cluster.block(0, View(4), cluster.genesis(), Hlc(), "x");
    EXPECT_NE(why_not(evidence_of_proposals(ReplicaId(0), *main[0], *later)), "");
    const BlockPtr not_leading = cluster.block(1, View(0), cluster.genesis(), Hlc(), "x");
    const BlockPtr neither = cluster.block(1, View(0), cluster.genesis(), Hlc(), "y");
    EXPECT_NE(why_not(evidence_of_proposals(ReplicaId(1), *neither, *not_leading)), "");
}

TEST_F(Proving, votes_of_one_chain_or_of_two_views_are_none) {
    const Vote low = cluster.vote(1, View(0), main[0]->ref());
    const Vote high = cluster.vote(1, View(0), main[3]->ref(), main[2]->ref());
    EXPECT_NE(why_not(evidence_of_votes(low, high, {})), "");
    EXPECT_NE(why_not(evidence_of_votes(low, high, {main[1]->header, main[2]->header})), "");
    EXPECT_NE(why_not(evidence_of_votes(low, high, {main[1]->header, main[2]->header, main[3]->header})), "");
    const Vote other_view = cluster.vote(1, View(1), side[0]->ref());
    EXPECT_NE(why_not(evidence_of_votes(low, other_view, {})), "");
    EXPECT_NE(why_not(evidence_of_votes(low, cluster.vote(2, View(0), side[0]->ref()), {})), "") << "two voters";
}

TEST_F(Proving, a_path_is_linked_and_as_short_as_can_be) {
    const Vote low = cluster.vote(2, View(0), side[0]->ref());
    const Vote high = cluster.vote(2, View(0), main[3]->ref(), main[2]->ref());
    EXPECT_EQ(why_not(evidence_of_votes(low, high, {main[1]->header, main[2]->header})), "") << "up to the commit head";
    EXPECT_NE(why_not(evidence_of_votes(low, high, {main[1]->header, main[2]->header, main[3]->header})), "")
        << "more than needed";
    EXPECT_NE(why_not(evidence_of_votes(low, high, {main[2]->header})), "") << "does not reach down";
    EXPECT_NE(why_not(evidence_of_votes(low, high, {main[1]->header})), "") << "does not reach up";
    EXPECT_NE(why_not(evidence_of_votes(low, high, {side[1]->header, main[2]->header})), "") << "not linked";
    const Vote honest = cluster.vote(2, View(0), main[0]->ref());
    const Vote later = cluster.vote(2, View(0), main[2]->ref());
    EXPECT_NE(why_not(evidence_of_votes(honest, later, {side[1]->header, main[2]->header})), "")
        << "headers of two chains would convict a correct voter";
    EXPECT_NE(why_not(evidence_of_votes(low, cluster.vote(2, View(0), main[0]->ref()), {main[0]->header})), "")
        << "the votes alone are proof";
}

TEST_F(Proving, a_view_change_that_tells_what_was_voted_hides_nothing) {
    const Lock lock{LockView(View(1)), main[1]->ref()};
    const Prepared prep{View(1), main[2]->ref()};
    const ViewChange told = cluster.view_change(3, View(2), lock, prep);
    const auto hides = [&](const Vote& vote) { return evidence_of_hiding(told, vote).has_value(); };
    EXPECT_FALSE(hides(cluster.vote(3, View(1), main[2]->ref(), main[1]->ref())));
    EXPECT_FALSE(hides(cluster.vote(3, View(1), main[1]->ref(), main[0]->ref()))) << "older";
    EXPECT_FALSE(hides(cluster.vote(3, View(0), main[3]->ref(), main[3]->ref()))) << "of a lower view";
    EXPECT_FALSE(hides(cluster.vote(3, View(2), main[3]->ref(), main[3]->ref()))) << "after it, in its view";
    EXPECT_TRUE(hides(cluster.vote(3, View(1), main[3]->ref())));
    EXPECT_TRUE(hides(cluster.vote(3, View(1), side[2]->ref()))) << "another block at the same place";
    EXPECT_TRUE(hides(cluster.vote(3, View(1), main[2]->ref(), main[2]->ref())));
    EXPECT_EQ(evidence_of_hiding(told, cluster.vote(3, View(1), main[2]->ref(), side[1]->ref()))->kind,
              EvidenceKind::hidden_lock);
}

TEST_F(Proving, a_good_body_convicts_nobody_and_a_bad_one_its_leader) {
    EXPECT_FALSE(of_body(*main[0]));
    const Bytes junk(100, 7);
    EXPECT_TRUE(of_body(*with_body(junk, 1)));
    EXPECT_TRUE(of_body(*with_body(*main[0]->body, 2))) << "counts more envelopes than there are";
    EXPECT_TRUE(of_body(*with_body({}, 0))) << "empty, and does not say so";
    auto swapped = std::make_shared<Block>(*main[0]);
    swapped->body = std::make_shared<const Bytes>(junk);
    EXPECT_FALSE(of_body(*swapped)) << "somebody else's body proves nothing against the signer";
    Bytes large(limits::evidence_bytes_max, 7);
    EXPECT_FALSE(of_body(*with_body(large, 1))) << "longer than evidence may be";
}

// Whom the store knows is for execution to say, in every replica alike: a proposal with a stranger's envelope is a good
// one.
TEST_F(Proving, an_unknown_client_convicts_nobody) {
    Membership without = cluster.membership;
    without.clients.clear();
    const MessageVerifier verifier(without, cluster.signatures);
    EXPECT_TRUE(verifier.verify(Propose{main[0], Height()}, ReplicaId(0)));
    EXPECT_FALSE(evidence_in_refused(verifier, Propose{main[0], Height()}));
}

// Anybody who hands a NEW-VIEW on can spoil what its leader did not sign.
TEST_F(Proving, a_new_view_spoilt_on_its_way_convicts_nobody) {
    NewView message = new_view({change(0, 1), change(1, 1), change(2, 1)});
    ASSERT_TRUE(cluster.verifier->verify(message, ReplicaId(1)));
    message.view_changes[0].signature = {};
    ASSERT_FALSE(cluster.verifier->verify(message, ReplicaId(2)));
    EXPECT_FALSE(evidence_in_refused(*cluster.verifier, message));
    message = new_view({change(0, 1), change(1, 1), change(2, 1)});
    message.certificate = Certificate{CertKind::prepare, View(0), main[0]->header, {}, {}};
    EXPECT_FALSE(evidence_in_refused(*cluster.verifier, message));
    message = new_view({change(0, 1), change(1, 1), change(2, 1)});
    message.view_changes.pop_back();
    EXPECT_FALSE(evidence_in_refused(*cluster.verifier, message)) << "not what was signed";
}

TEST_F(Proving, what_breaks_v5_under_the_leaders_own_signature_convicts_it) {
    const auto convicts = [&](const NewView& message) {
        return evidence_in_refused(*cluster.verifier, message).has_value();
    };
    EXPECT_TRUE(convicts(new_view({change(0, 1), change(1, 1)}))) << "no quorum";
    EXPECT_TRUE(convicts(new_view({change(0, 1), change(1, 2), change(2, 1)}))) << "of another view";
    EXPECT_TRUE(convicts(new_view({change(0, 1), change(1, 1), change(2, 1), change(3, 1), change(3, 1)})));
    const Lock high{LockView(View(0)), main[0]->ref()};
    const ViewChange locked = cluster.view_change(2, View(1), high, {View(0), main[0]->ref()});
    EXPECT_TRUE(convicts(new_view({change(0, 1), change(1, 1), locked}))) << "base below the highest lock";
    EXPECT_TRUE(
        convicts(cluster.new_view(2, View(1), {change(0, 1), change(1, 1), change(2, 1)}, genesis_lock_of(cluster))))
        << "of a view that it does not lead";
}

TEST(EvidenceBook, keeps_once_what_repeats_and_places_for_every_kind) {
    EvidenceBook book;
    const ReplicaId culprit(1);
    for (std::uint64_t view = 0; view < 1000; ++view) {
        if (book.wants(culprit, EvidenceKind::two_proposals, View(view))) {
            book.add(culprit, EvidenceKind::two_proposals, View(view));
        }
        EXPECT_FALSE(book.wants(culprit, EvidenceKind::two_proposals, View(view)));
    }
    EXPECT_EQ(book.size(), limits::evidence_per_culprit_max - 6);
    for (const auto kind : {EvidenceKind::two_votes, EvidenceKind::hidden_vote, EvidenceKind::hidden_lock,
                            EvidenceKind::bad_proposal, EvidenceKind::bad_new_view, EvidenceKind::two_view_changes}) {
        EXPECT_TRUE(book.wants(culprit, kind, View(5)));
        book.add(culprit, kind, View(5));
        EXPECT_FALSE(book.wants(culprit, kind, View(6)));
    }
    EXPECT_EQ(book.size(), limits::evidence_per_culprit_max);
    EXPECT_TRUE(book.wants(ReplicaId(2), EvidenceKind::two_proposals, View(0)));
    for (std::uint16_t other = 2; other < 31; ++other) {
        for (std::uint64_t view = 0; view < 1000; ++view) {
            if (book.wants(ReplicaId(other), EvidenceKind::two_votes, View(view))) {
                book.add(ReplicaId(other), EvidenceKind::two_votes, View(view));
            }
        }
    }
    EXPECT_EQ(book.size(), limits::evidence_kept_max);
}

}  // namespace
}  // namespace loyal::consensus::test
