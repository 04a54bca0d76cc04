#include "server/api_keys.h"

#include <gtest/gtest.h>

namespace forerun {
namespace {

using Verdict = ApiKeys::Verdict;

HttpHeaders bearer(const std::string& key) {
  return {{"authorization", "Bearer " + key}};
}

ServerOptions two_keys_and_admin() {
  ServerOptions options;
  options.api_keys = {"first", "second"};
  options.admin_key = "admin";
  return options;
}

TEST(ApiKeys, LetInByEitherHeader) {
  const ApiKeys keys(two_keys_and_admin());
  EXPECT_EQ(keys.check(bearer("first"), Access::kUser), Verdict::kIn);
  EXPECT_EQ(keys.check({{"AUTHORIZATION", "bearer   second"}}, Access::kUser), Verdict::kIn);
  EXPECT_EQ(keys.check({{"X-Api-Key", "second"}}, Access::kUser), Verdict::kIn);
  EXPECT_EQ(keys.check({{"Authorization", "Basic abc"}, {"X-Api-Key", "first"}}, Access::kUser),
            Verdict::kIn);
}

TEST(ApiKeys, KeepOthersOut) {
  const ApiKeys keys(two_keys_and_admin());
  EXPECT_EQ(keys.check({}, Access::kUser), Verdict::kNoKey);
  EXPECT_EQ(keys.check({{"Authorization", "Basic first"}}, Access::kUser), Verdict::kNoKey);
  for (const char* key : {"", "firs", "first ", "firstsecond", "FIRST"}) {
    EXPECT_EQ(keys.check(bearer(key), Access::kUser), Verdict::kWrongKey) << key;
  }
  EXPECT_EQ(keys.check({}, Access::kOpen), Verdict::kIn);
}

TEST(ApiKeys, TellTheAdmin) {
  const ApiKeys keys(two_keys_and_admin());
  EXPECT_EQ(keys.check(bearer("first"), Access::kAdmin), Verdict::kNotAdmin);
  EXPECT_EQ(keys.check(bearer("admin"), Access::kAdmin), Verdict::kIn);
  EXPECT_EQ(keys.check(bearer("admin"), Access::kUser), Verdict::kIn);
  EXPECT_EQ(keys.check({}, Access::kAdmin), Verdict::kNoKey);
}

TEST(ApiKeys, OnlyOneKindMayBeSet) {
  ServerOptions options;
  EXPECT_EQ(ApiKeys(options).check({}, Access::kAdmin), Verdict::kIn);
  options.admin_key = "admin";
  EXPECT_EQ(ApiKeys(options).check({}, Access::kUser), Verdict::kIn);
  EXPECT_EQ(ApiKeys(options).check({}, Access::kAdmin), Verdict::kNoKey);
  options.admin_key.clear();
  options.api_keys = {"first"};
  EXPECT_EQ(ApiKeys(options).check(bearer("first"), Access::kAdmin), Verdict::kIn);
}

TEST(ApiKeys, SaltDiffersByKeyAndRun) {
  const ApiKeys keys(two_keys_and_admin());
  EXPECT_NE(keys.salt(bearer("first")), 0u);
  EXPECT_EQ(keys.salt(bearer("first")), keys.salt({{"X-Api-Key", "first"}}));
  EXPECT_NE(keys.salt(bearer("first")), keys.salt(bearer("second")));
  EXPECT_NE(keys.salt(bearer("first")), keys.salt(bearer("admin")));
  EXPECT_NE(keys.salt(bearer("first")), ApiKeys(two_keys_and_admin()).salt(bearer("first")));
  EXPECT_EQ(keys.salt(bearer("wrong")), 0u);
}

TEST(ApiKeys, SaltIsShared) {
  ServerOptions options = two_keys_and_admin();
  options.share_prefix = true;
  EXPECT_EQ(ApiKeys(options).salt(bearer("first")), 0u);
  EXPECT_EQ(ApiKeys(ServerOptions()).salt(bearer("first")), 0u);
}

TEST(ApiKeys, KnowWhoIsNotRecorded) {
  ServerOptions options = two_keys_and_admin();
  options.unrecorded_keys = {"second"};
  const ApiKeys keys(options);
  EXPECT_TRUE(keys.is_recorded(bearer("first")));
  EXPECT_TRUE(keys.is_recorded(bearer("admin")));
  EXPECT_FALSE(keys.is_recorded(bearer("second")));
  EXPECT_FALSE(keys.is_recorded({{"X-Api-Key", "second"}}));
  EXPECT_TRUE(ApiKeys(ServerOptions()).is_recorded({}));
}

TEST(ApiKeys, HistoryIsSharedByItself) {
  ServerOptions options = two_keys_and_admin();
  options.share_prefix = true;
  const ApiKeys apart(options);
  EXPECT_NE(apart.history_salt(bearer("first")), 0u);
  EXPECT_NE(apart.history_salt(bearer("first")), apart.history_salt(bearer("second")));
  options.share_prefix = false;
  options.share_history = true;
  EXPECT_EQ(ApiKeys(options).history_salt(bearer("first")), 0u);
  EXPECT_NE(ApiKeys(options).salt(bearer("first")), 0u);
}

}  // namespace
}  // namespace forerun
