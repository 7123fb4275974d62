// What replicas answer to the lab: understood when well-formed, harmless when not.
#include "client/lab/answers.h"

#include <gtest/gtest.h>

namespace loyal::lab {
namespace {

TEST(StatusAnswer, becomes_a_sample) {
    const Sample sample = sample_of_status(
        2, 1.5,
        R"({"id":2,"role":"backup","view":3,"executed":17,"state_digest":"ab","fault":"none","suspicion":{"0":1.5},)"
        R"("recent_digests":{"16":"cd","17":"ab","x":"ef","18":9}})");
    EXPECT_TRUE(sample.up);
    EXPECT_EQ(sample.role, "backup");
    EXPECT_EQ(sample.view, 3U);
    EXPECT_EQ(sample.executed, 17U);
    EXPECT_EQ(sample.digest, "ab");
    EXPECT_EQ(sample.suspicion.at(0), 1.5);
    EXPECT_EQ(sample.recent_digests, (std::map<std::uint64_t, std::string>{{16, "cd"}, {17, "ab"}}));
}

TEST(Answers, that_make_no_sense_are_left_out) {
    for (const char* text : {"", "{", "[]", "null", "17", "{\"evidence\":7}", "{\"evidence\":[1,{\"kind\":\"E9\"},{}]}",
                             "{\"messages\":{}}", "{\"messages\":[3]}"}) {
        EXPECT_TRUE(proofs_of_answer(text).empty()) << text;
        EXPECT_TRUE(trace_of_answer(0, text).empty()) << text;
    }
    EXPECT_FALSE(sample_of_status(0, 0, "nonsense").up);
    const Sample odd = sample_of_status(0, 0, R"({"view":"x","suspicion":{"a":1,"99999999999":2,"1":"y"}})");
    EXPECT_EQ(odd.view, 0U);
    EXPECT_TRUE(odd.suspicion.empty());
}

TEST(EvidenceAnswer, that_is_made_up_does_not_verify) {
    const auto proofs = proofs_of_answer(
        R"({"evidence":[{"id":"aa","kind":"E1","culprit":3,"first":"00ff","second":"zz","path":""}]})");
    ASSERT_EQ(proofs.size(), 1U);
    EXPECT_EQ(proofs[0].evidence.first, (Bytes{0x00, 0xff}));
    EXPECT_TRUE(proofs[0].evidence.second.empty());
    const EvidenceFound found = examine(proofs[0], 1, 2.0, consensus::Membership{});
    EXPECT_EQ(found.kind, "E1");
    EXPECT_EQ(found.culprit, 3);
    EXPECT_FALSE(found.verified);
}

TEST(Trace, joins_sends_and_receipts_into_messages) {
    auto entries = trace_of_answer(0, R"({"messages":[
        {"us":1000,"dir":"sent","peer":1,"kind":"VOTE","view":0,"height":5,"detail":"a"},
        {"us":1100,"dir":"sent","peer":2,"kind":"VOTE","view":0,"height":5,"detail":"a"}]})");
    const auto received = trace_of_answer(
        1, R"({"messages":[{"us":1700,"dir":"received","peer":0,"kind":"VOTE","view":0,"height":5,"detail":"a"}]})");
    entries.insert(entries.end(), received.begin(), received.end());
    const std::vector<Message> messages = messages_of(entries, 0, 0, 1, 100);
    ASSERT_EQ(messages.size(), 2U);
    EXPECT_EQ(messages[0].to, 1);
    EXPECT_DOUBLE_EQ(messages[0].received_s.value_or(0), 0.0017);
    EXPECT_FALSE(messages[1].received_s);  // lost, as far as anybody saw
    EXPECT_EQ(messages_of(entries, 0, 0, 1, 1).size(), 1U);
}

}  // namespace
}  // namespace loyal::lab
